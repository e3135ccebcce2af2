"""How much of its byte cap the spool directory holds, and the policy when that is all."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from tollkeeper_kong.segments import Segment, count_records, delete_segment, list_segments, load_progress, locked

RESCAN_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is on disk and not yet answered by the backend, of all processes.

    `records` counts closed segments; those in segments still being written are estimated from their bytes. Nothing that
    waits is older than `oldest_age_seconds`.
    """

    records: int
    bytes: int
    oldest_age_seconds: float


class SpoolSpace:
    """The bytes in use against the cap; shippers and other writers change them, so the directory is read again."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._used = 0
        self._scanned_at = float("-inf")
        self.is_over = False
        self.is_nearly_full = False

    def add(self, size: int) -> None:
        """Note bytes that were just written."""
        self._take(self._used + size)

    def rescan_if_due(self) -> None:
        """Read the directory, at most once a second; a disk that cannot be read leaves the last figure."""
        if time.monotonic() - self._scanned_at >= RESCAN_SECONDS:
            with suppress(OSError):
                self.rescan()

    def rescan(self) -> list[Segment]:
        """Read the directory now."""
        self._scanned_at = time.monotonic()
        segments = list_segments(self._directory)
        self._take(sum(segment.size for segment in segments))
        return segments

    def lacks(self, size: int) -> bool:
        """Whether so many more bytes would exceed the cap, by a fresh look if it seems so."""
        if self._used + size <= self._max_bytes:
            return False
        self.rescan()
        return self._used + size > self._max_bytes

    def drop_oldest(self, size: int) -> int:
        """Delete the oldest segments that nobody holds until `size` bytes fit; return the records lost with them."""
        lost = 0
        for segment in self.rescan():
            if self._used + size <= self._max_bytes:
                break
            with locked(segment.path) as descriptor:
                if descriptor is None:
                    continue
                records = count_records(descriptor) if segment.records is None else segment.records
                unshipped = max(0, records - load_progress(segment).sequence)
                delete_segment(segment)
            lost += unshipped
            self._take(self._used - segment.size)
            log.error("spool_dropped_oldest", segment=segment.path.name, records=unshipped, max_bytes=self._max_bytes)
        return lost

    def backlog(self) -> Backlog:
        """Return what waits for the shipper."""
        return measure_backlog(self._directory)

    def _take(self, used: int) -> None:
        self._used = used
        self.is_over = used >= self._max_bytes
        self.is_nearly_full = used >= self._max_bytes * 9 // 10


def measure_backlog(directory: Path) -> Backlog:
    """Return what waits in a spool directory for the shipper."""
    records = size = 0
    oldest_age = 0.0
    typical_bytes = 500.0
    for segment in list_segments(directory):
        progress = load_progress(segment)
        waiting_bytes = max(0, segment.size - progress.offset)
        if not waiting_bytes:
            continue
        size += waiting_bytes
        if segment.records is None:
            records += max(1, round(waiting_bytes / typical_bytes))
        else:
            records += max(0, segment.records - progress.sequence)
            typical_bytes = segment.size / max(1, segment.records)
        oldest_age = max(oldest_age, time.time() - max(segment.started_at, _shipped_at(segment)))
    return Backlog(records, size, oldest_age)


def _shipped_at(segment: Segment) -> float:
    """When the shipper last moved on in a segment: what waits in it came after that, or waits for its turn."""
    try:
        return segment.progress_path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
