"""Writes groups of records to segments; what the disk refuses is written again, elsewhere, until it is taken."""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from tollkeeper_kong.frames import HEAD_BYTES
from tollkeeper_kong.segments import OpenSegment
from tollkeeper_kong.spool_space import SpoolSpace

Fsync = Literal["group", "interval", "off"]
WhenFull = Literal["drop_oldest_counted", "deny"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SpoolTuning:
    """Sizes and times that seldom need a change."""

    segment_bytes: int = 16 * 1024 * 1024
    segment_seconds: float = 60.0
    group_seconds: float = 0.005
    """How long a group gathers records before it is written: about what a kill -9 can take."""
    sync_seconds: float = 0.02
    """Between two syncs under the policy `group`; what was written meanwhile shares the next. What power can take."""
    interval_seconds: float = 1.0
    """Between two syncs under the policy `interval`."""
    memory_bytes: int = 64 * 1024 * 1024
    """Held while the disk takes nothing; beyond it, new records are dropped and counted."""
    retry_seconds: float = 0.1
    """Before the first new attempt on a disk that refuses; doubles up to fifty times that."""


@dataclass(slots=True)
class SpoolCounters:
    """Since the start of the process. Records, but for `write_failures`."""

    accepted: int = 0
    spooled: int = 0
    dropped_memory: int = 0
    """Not taken: the disk had not taken what came before."""
    dropped_full: int = 0
    """Not taken: the spool is at its byte cap under the policy `deny`."""
    dropped_oldest: int = 0
    """Deleted before they were shipped, to make room under the policy `drop_oldest_counted`."""
    dropped_size: int = 0
    """Not taken: longer than any record may be."""
    dropped_close: int = 0
    """Came after the spool was closed, or were in memory when it had to end and the disk still refused them."""
    write_failures: int = 0

    @property
    def dropped(self) -> int:
        """All records that were lost here, for whatever reason."""
        lost = self.dropped_memory + self.dropped_full + self.dropped_oldest
        return lost + self.dropped_size + self.dropped_close


class SpoolWriter:
    """Owns the segment that this process writes. For one thread: the spool's."""

    def __init__(
        self, directory: Path, space: SpoolSpace, tuning: SpoolTuning, *, fsync: Fsync, when_full: WhenFull
    ) -> None:
        self.counters = SpoolCounters()
        self._directory = directory
        self._space = space
        self._tuning = tuning
        self._fsync = fsync
        self._drops_oldest = when_full == "drop_oldest_counted"
        self._segment: OpenSegment | None = None
        self._opened = 0
        self._nonce = secrets.token_hex(3)
        self._dirty_since: float | None = None
        self._pending: list[bytes] = []
        self._written: list[bytes] = []  # not synced yet, under the policy `group`; pending again if a sync fails
        self._synced_at = float("-inf")
        self._bytes_given = 0
        self.bytes_kept = 0

    @property
    def held(self) -> int:
        """How many records were given to `write` and are not yet kept as the policy says."""
        return len(self._pending) + len(self._written)

    def write(self, group: list[bytes], *, at_once: bool) -> None:
        """Write a group at once, and sync if that is due or asked for at once.

        Raises OSError when the disk refuses: what is not kept is held here and written again by the next call. Parts of
        it may be in a closed segment already; such repeats carry the same ids and count once.
        """
        self._pending += group
        self._bytes_given += sum(map(len, group))
        try:
            if self._pending:
                self._append()
            if self._written and (at_once or self._is_sync_due()):
                self._sync()
        except OSError:
            self.counters.write_failures += 1
            self._abandon()
            raise
        if self._segment is not None and self._segment.size >= self._tuning.segment_bytes:
            self.end_segment()

    def give_up(self) -> int:
        """Forget what the disk refuses; return how many records that was."""
        lost = self.held
        self._pending, self._written = [], []
        return lost

    def seconds_until_due(self) -> float | None:
        """Return how long an idle writer may sleep; None: for ever."""
        now = time.monotonic()
        until = now + 1.0 if self._space.is_nearly_full else float("inf")
        if self._segment is not None:
            until = min(until, self._segment.began + self._tuning.segment_seconds)
        if self._dirty_since is not None:
            until = min(until, self._dirty_since + self._tuning.interval_seconds)
        if self._written:
            until = min(until, self._synced_at + self._tuning.sync_seconds)
        return None if until == float("inf") else max(0.0, until - now)

    def do_what_is_due(self) -> None:
        """Sync at the end of an interval, close a segment that has grown old, look at the space left."""
        now = time.monotonic()
        segment = self._segment
        if self._dirty_since is not None and now - self._dirty_since >= self._tuning.interval_seconds:
            self._sync_interval()
        if segment is not None and not self._written and now - segment.began >= self._tuning.segment_seconds:
            self.end_segment()
        self._space.rescan_if_due()

    def end_segment(self) -> None:
        """Close the current segment; the next record opens a new one."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            if self._dirty_since is not None:
                segment.sync()
            segment.close()
        except OSError as error:  # it stays an orphan, which the shipper closes
            self._note(error)
        self._dirty_since = None

    def _append(self) -> None:
        """Write what is pending to the page cache: what a kill -9 cannot take."""
        records = self._pending
        size = sum(map(len, records)) + HEAD_BYTES * len(records)
        if self._drops_oldest and self._space.lacks(size):
            self._make_room(size)
        segment = self._open_segment()
        self._space.add(segment.append(records))
        self._pending = []
        if self._fsync == "group":
            self._written += records
            return
        segment.settle()
        if self._fsync == "interval" and self._dirty_since is None:
            self._dirty_since = time.monotonic()
        self._note_kept(len(records))

    def _is_sync_due(self) -> bool:
        segment, now = self._segment, time.monotonic()
        if now - self._synced_at >= self._tuning.sync_seconds or segment is None:
            return True
        return segment.size >= self._tuning.segment_bytes or now - segment.began >= self._tuning.segment_seconds

    def _sync(self) -> None:
        """Wait until all that was written is on the disk."""
        if self._segment is not None:
            self._segment.sync()
        self._synced_at = time.monotonic()
        count, self._written = len(self._written), []
        self._note_kept(count)

    def _note_kept(self, count: int) -> None:
        self.counters.spooled += count
        self.bytes_kept = self._bytes_given - sum(map(len, self._pending))

    def _abandon(self) -> None:
        """Leave a segment whose disk refuses; what was not kept goes to the next."""
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.abandon()
        self._pending = self._written + self._pending
        self._written = []

    def _sync_interval(self) -> None:
        self._dirty_since = None
        if self._segment is None:
            return
        try:
            self._segment.sync()
        except OSError as error:
            # what the kernel did not get to the disk is beyond our reach now; the next records go elsewhere
            self._note(error)
            self.end_segment()

    def _open_segment(self) -> OpenSegment:
        if self._segment is None:
            self._opened += 1
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segment = OpenSegment(self._directory, self._opened, nonce=self._nonce, sync=self._fsync != "off")
        return self._segment

    def _make_room(self, size: int) -> None:
        lost = self._space.drop_oldest(size)
        if self._space.lacks(size) and self._segment is not None:
            if self._written:
                self._sync()
            self.end_segment()  # our own is all there is: close it, so that it can go
            lost += self._space.drop_oldest(size)
        self.counters.dropped_oldest += lost

    def _note(self, error: OSError) -> None:
        self.counters.write_failures += 1
        log.error("spool_write_failed", directory=str(self._directory), error=str(error))
