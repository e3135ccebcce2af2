"""Read one segment from where the shipper stopped; delete it when all of it was answered."""

import os
from types import TracebackType
from typing import Self

import structlog

from tollkeeper_kong.frames import HEAD_BYTES, MOST_RECORD_BYTES, read_stretch
from tollkeeper_kong.segments import (
    Progress,
    Segment,
    close_orphan,
    delete_segment,
    load_progress,
    save_progress,
    try_lock,
)

log = structlog.get_logger()


class SegmentReader:
    """`read` some records, have them answered, `settle`; again until nothing is read.

    Holds the lock of a closed segment meanwhile, so that no writer drops it. One without a writer is closed first.
    """

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._progress = load_progress(segment)
        self._next = self._progress
        self._newly_lost = 0
        self._is_closed = False
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            self._descriptor = os.open(self._segment.path, os.O_RDONLY)
        except FileNotFoundError:  # closed by its writer just now, or dropped to make room
            return self
        if try_lock(self._descriptor, self._segment.path):
            self._is_closed = True
            if self._segment.records is None:
                self._segment = close_orphan(self._segment, self._descriptor)
        elif self._segment.records is not None:  # a writer is deleting it to make room
            self.__exit__(None, None, None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def read(self, most_records: int, most_bytes: int) -> list[bytes]:
        """Return the next records that are whole; none at the end, or while a writer is in the middle of one."""
        if self._descriptor is None:
            return []
        wanted = most_bytes + MOST_RECORD_BYTES + HEAD_BYTES
        self._next = self._progress
        while buffer := os.pread(self._descriptor, wanted, self._next.offset):
            is_all = len(buffer) < wanted
            stretch = read_stretch(
                buffer,
                self._next.sequence,
                is_final=is_all and self._is_closed,
                most_records=most_records,
                most_bytes=most_bytes,
            )
            offset = self._next.offset + stretch.end
            if not stretch.end and not is_all:
                offset += most_bytes  # nothing whole in more than the longest record: damage, look further on
            self._newly_lost += stretch.lost
            moved = Progress(offset, stretch.next_sequence)
            has_moved, self._next = moved != self._next, moved
            if stretch.records or not has_moved:
                return stretch.records
        return []

    def settle(self) -> int:
        """Note that what was read is answered; at the end of a closed segment delete it. Return records found lost."""
        lost, self._newly_lost = self._newly_lost, 0
        if self._descriptor is None:
            return lost
        if self._is_closed and self._next.offset >= os.fstat(self._descriptor).st_size:
            lost += max(0, (self._segment.records or 0) - self._next.sequence)
            delete_segment(self._segment)
            self.__exit__(None, None, None)
        elif self._next != self._progress:
            save_progress(self._segment, self._next)
        self._progress = self._next
        if lost:
            log.error("spool_records_damaged", segment=self._segment.path.name, records=lost)
        return lost
