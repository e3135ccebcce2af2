"""The spool: records go to disk in groups, written by a thread, so that whoever appends never waits.

Several processes may spool into one directory: each writes segments of its own (segments.py). A record is safe from the
death of its process once it is written, some milliseconds after `append`, and from a power cut once it is synced, some
milliseconds later: under load several groups share a sync.
"""

import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import structlog

from tollkeeper_kong.frames import MOST_RECORD_BYTES
from tollkeeper_kong.spool_space import Backlog, SpoolSpace
from tollkeeper_kong.spool_writer import Fsync, SpoolTuning, SpoolWriter, WhenFull

MOST_GROUP_BYTES = 512 * 1024  # framing a group takes about a millisecond of the interpreter lock
RETRY_GROWS_TO = 50

log = structlog.get_logger()


class Spool:
    """One process's end of the spool directory. `append` is for one thread (any greenlet of it)."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = 1024**3,
        fsync: Fsync = "group",
        when_full: WhenFull = "drop_oldest_counted",
        tuning: SpoolTuning | None = None,
    ) -> None:
        self.directory = directory
        self._denies = when_full == "deny"
        self._tuning = tuning = _fit(tuning or SpoolTuning(), max_bytes)
        self._space = SpoolSpace(directory, max_bytes)
        self._disk = SpoolWriter(directory, self._space, tuning, fsync=fsync, when_full=when_full)
        self.counters = self._disk.counters
        self._queue: deque[bytes] = deque()
        self._memory_bytes = tuning.memory_bytes
        self._is_picky = self._denies
        """Whether each record is looked at: under the policy `deny`, and once the spool closes."""
        self._bytes_in = 0  # written by the caller's thread alone
        self._bytes_out = 0  # written by the writer's thread alone
        self._told_dropped = 0
        self._retry_seconds = 0.0
        self._is_idle = self._was_busy = False
        self._is_closing = threading.Event()
        self._give_up_at = float("inf")
        self._flush_waiters = 0
        self._wake = threading.Event()
        self._progressed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="spool", daemon=True)
        self._thread.start()

    def append(self, record: bytes) -> bool:
        """Take a record; False if it was dropped, which is counted. Never waits for the disk."""
        size = len(record)
        bytes_in = self._bytes_in + size
        has_doubt = bytes_in - self._bytes_out > self._memory_bytes or size > MOST_RECORD_BYTES or self._is_picky
        if has_doubt and not self._has_room(size):
            return False
        self._bytes_in = bytes_in
        self._queue.append(record)
        self.counters.accepted += 1
        if self._is_idle:
            self._is_idle = False
            self._wake.set()
        return True

    @property
    def is_full(self) -> bool:
        """Whether a caller whose policy is `deny` should refuse: nine tenths of the cap or of the memory are taken."""
        return self._space.is_nearly_full or self._bytes_in - self._bytes_out > self._memory_bytes * 9 // 10

    @property
    def is_failing(self) -> bool:
        """Whether the disk refused the last attempt; records are held in memory meanwhile."""
        return self._retry_seconds > 0

    def backlog(self) -> Backlog:
        """Return what waits on disk for the shipper, of all processes. Reads the directory."""
        return self._space.backlog()

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until all that was accepted before is kept as the policy says; False if it was not in time."""
        goal = self.counters.accepted
        deadline = time.monotonic() + timeout_seconds
        with self._progressed:
            self._flush_waiters += 1
            self._wake.set()
            try:
                while self.counters.spooled < goal and (left := deadline - time.monotonic()) > 0:
                    self._progressed.wait(left)
            finally:
                self._flush_waiters -= 1
            return self.counters.spooled >= goal

    def close(self, timeout_seconds: float = 10.0) -> bool:
        """Take no more, write what is there, close the segment; False if records had to be given up."""
        self._give_up_at = time.monotonic() + timeout_seconds
        self._is_closing.set()
        self._is_picky = True
        self._wake.set()
        self._thread.join(timeout_seconds + 1.0)
        return self.counters.spooled == self.counters.accepted and not self._thread.is_alive()

    def _has_room(self, size: int) -> bool:
        if size > MOST_RECORD_BYTES:
            self.counters.dropped_size += 1
            return False
        if self._is_closing.is_set():
            self.counters.dropped_close += 1
            return False
        if self._denies and self._space.is_over:
            self.counters.dropped_full += 1
            return False
        if self._bytes_in - self._bytes_out + size > self._memory_bytes:
            self.counters.dropped_memory += 1
            return False
        return True

    def _write_all(self) -> None:
        """The writer thread, until the spool is closed and all is written."""
        while not self._is_closing.is_set() or self._queue or self._disk.held:
            self._wait_for_records()
            group = self._take_group()
            self._was_busy = bool(group)
            self._keep(group)
            self._disk.do_what_is_due()
            self._tell_drops()
        self._disk.end_segment()

    def _is_hurried(self) -> bool:
        """Whether somebody waits for what is held."""
        return self._is_closing.is_set() or (self._flush_waiters > 0 and self._disk.held > 0)

    def _wait_for_records(self) -> None:
        if not self._queue and not self._was_busy:
            self._wake.clear()
            self._is_idle = True
            if not self._queue and not self._is_hurried():  # one may have come before we were idle
                self._wake.wait(self._disk.seconds_until_due())
            self._is_idle = False
        # where records have just come more will: to be woken for the first of them would cost a switch of threads more
        if (self._queue or self._was_busy) and not self._flush_waiters and not self._is_closing.is_set():
            time.sleep(self._tuning.group_seconds)

    def _take_group(self) -> list[bytes]:
        queue = self._queue
        if self._bytes_in - self._bytes_out < MOST_GROUP_BYTES:  # all that waits, whatever comes meanwhile
            take = queue.popleft
            return [take() for _ in range(len(queue))]
        group: list[bytes] = []
        size = 0
        while queue and size < MOST_GROUP_BYTES:
            record = queue.popleft()
            size += len(record)
            group.append(record)
        return group

    def _keep(self, group: list[bytes]) -> None:
        """Write a group, however often the disk refuses, until it is written or we must end."""
        while not self._try_write(group):
            group = []  # the disk holds it
            if time.monotonic() >= self._give_up_at:
                lost = self._disk.give_up() + len(self._queue)
                self.counters.dropped_close += lost
                log.error("spool_gave_up", records=lost, directory=str(self.directory))
                self._queue.clear()
                return
            # once the spool closes, try again often: little time is left
            if not self._is_closing.wait(self._retry_seconds):
                continue
            time.sleep(min(self._tuning.retry_seconds, max(0.0, self._give_up_at - time.monotonic())))
        self._bytes_out = self._disk.bytes_kept
        if self._flush_waiters:
            with self._progressed:
                self._progressed.notify_all()

    def _try_write(self, group: list[bytes]) -> bool:
        try:
            self._disk.write(group, at_once=self._flush_waiters > 0 or self._is_closing.is_set())
        except OSError as error:
            self._note_failure(error)
            return False
        if self._retry_seconds:
            self._retry_seconds = 0.0
            log.warning("spool_writes_again", directory=str(self.directory))
        return True

    def _note_failure(self, error: OSError) -> None:
        first = self._tuning.retry_seconds
        self._retry_seconds = min(max(first, self._retry_seconds * 2), first * RETRY_GROWS_TO)
        log.error(
            "spool_write_failed",
            directory=str(self.directory),
            error=str(error),
            held_records=self._disk.held + len(self._queue),
            retry_seconds=self._retry_seconds,
        )
        self._tell_drops()

    def _tell_drops(self) -> None:
        """Log losses from here: the thread that appends has no time for it."""
        dropped = self.counters.dropped
        if dropped > self._told_dropped:
            log.error("spool_dropped_records", newly=dropped - self._told_dropped, in_all=dropped)
            self._told_dropped = dropped


def _fit(tuning: SpoolTuning, max_bytes: int) -> SpoolTuning:
    """A segment is what is dropped at once: several must fit under the cap."""
    most = max(4096, max_bytes // 8)
    return replace(tuning, segment_bytes=min(tuning.segment_bytes, most))
