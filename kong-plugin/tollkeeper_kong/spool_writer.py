"""Writes groups of records to segments; what the disk refuses is written again, elsewhere, until it is taken."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

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
        self._dirty_since: float | None = None

    def write(self, group: list[bytes]) -> None:
        """Write a group and keep it as the policy says.

        Raises OSError when the disk refuses: then all of the group is to be written again. Parts of it may be in a
        closed segment already; such repeats carry the same ids and count once.
        """
        size = sum(map(len, group)) + 16 * len(group)
        if self._drops_oldest and self._space.lacks(size):
            self._make_room(size)
        segment = self._open_segment()
        try:
            self._space.add(segment.append(group))
            if self._fsync == "group":
                segment.sync()
            else:
                segment.settle()
                if self._fsync == "interval" and self._dirty_since is None:
                    self._dirty_since = time.monotonic()
        except OSError:
            self._segment = None
            segment.abandon()
            self.counters.write_failures += 1
            raise
        self.counters.spooled += len(group)
        if segment.size >= self._tuning.segment_bytes:
            self.end_segment()

    def seconds_until_due(self) -> float | None:
        """Return how long an idle writer may sleep; None: for ever."""
        if self._space.is_nearly_full:
            return 1.0
        segment = self._segment
        if segment is None:
            return None
        until = segment.began + self._tuning.segment_seconds
        if self._dirty_since is not None:
            until = min(until, self._dirty_since + self._tuning.interval_seconds)
        return max(0.0, until - time.monotonic())

    def do_what_is_due(self) -> None:
        """Sync at the end of an interval, close a segment that has grown old, look at the space left."""
        now = time.monotonic()
        segment = self._segment
        if self._dirty_since is not None and now - self._dirty_since >= self._tuning.interval_seconds:
            self._sync_interval()
        if segment is not None and now - segment.began >= self._tuning.segment_seconds:
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
            try:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._segment = OpenSegment(self._directory, self._opened, sync=self._fsync != "off")
            except OSError:
                self.counters.write_failures += 1
                raise
        return self._segment

    def _make_room(self, size: int) -> None:
        lost = self._space.drop_oldest(size)
        if self._space.lacks(size) and self._segment is not None:
            self.end_segment()  # our own is all there is: close it, so that it can go
            lost += self._space.drop_oldest(size)
        self.counters.dropped_oldest += lost

    def _note(self, error: OSError) -> None:
        self.counters.write_failures += 1
        log.error("spool_write_failed", directory=str(self._directory), error=str(error))
