"""A file that Kong appends lines to, read from a known place, whatever was done to it meanwhile."""

import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

FINGERPRINT_BYTES = 1024
READ_BYTES = 1024 * 1024
LONGEST_LINE_BYTES = 4 * 1024 * 1024
COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}


class Place(msgspec.Struct, frozen=True):
    """How far a file was read. The bytes before that tell it from another file that took its name or its inode."""

    device: int
    inode: int
    offset: int = 0
    tail_bytes: int = 0
    tail_checksum: int = 0


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines and the place behind them."""

    lines: list[bytes]
    place: Place
    too_long: int = 0


def open_file(path: Path, place: Place | None = None) -> "FollowedFile | None":
    """Open a file at a place, or at its start; None if it is not there or is not the file of the place."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, IsADirectoryError):
        return None
    status = os.fstat(descriptor)
    file = FollowedFile(descriptor, place or Place(status.st_dev, status.st_ino))
    if (status.st_dev, status.st_ino) != (file.place.device, file.place.inode) or file.was_truncated():
        file.close()
        return None
    return file


def rotated_names(path: Path) -> list[Path]:
    """Return what rotation may have made of a file, oldest first: its name and more, not compressed."""
    found = [*path.parent.glob(f"{path.name}.*"), *path.parent.glob(f"{path.name}-*")]
    times: list[tuple[int, Path]] = []
    for candidate in found:
        with suppress(FileNotFoundError):
            if candidate.suffix not in COMPRESSED and candidate.is_file():
                times.append((candidate.stat().st_mtime_ns, candidate))
    return [candidate for _, candidate in sorted(times)]


def find_copy(path: Path, place: Place) -> "FollowedFile | None":
    """Return the file beside `path` that holds what a truncation took from it (logrotate's copytruncate), if any."""
    for candidate in rotated_names(path):
        with suppress(OSError):
            status = candidate.stat()
            moved = msgspec.structs.replace(place, device=status.st_dev, inode=status.st_ino)
            if place.tail_bytes and (copy := open_file(candidate, moved)):
                return copy
    return None


def find_renamed(path: Path, place: Place) -> "FollowedFile | None":
    """Return the file of a place under whatever name it has by now, if any."""
    for candidate in [path, *rotated_names(path)]:
        with suppress(OSError):
            if file := open_file(candidate, place):
                return file
    return None


class FollowedFile:
    """An open file; stays readable after it was renamed or deleted."""

    def __init__(self, descriptor: int, place: Place) -> None:
        self._descriptor = descriptor
        self.place = place

    def read(self) -> Lines:
        """Return whole lines from the place on, about a megabyte; a last line without its end waits for it."""
        buffer = os.pread(self._descriptor, READ_BYTES, self.place.offset)
        end = buffer.rfind(b"\n") + 1
        too_long = 0
        if not end and len(buffer) == READ_BYTES:
            buffer = os.pread(self._descriptor, LONGEST_LINE_BYTES, self.place.offset)
            end = buffer.find(b"\n") + 1
            if not end and len(buffer) == LONGEST_LINE_BYTES:
                end, too_long, buffer = len(buffer), 1, b""
        lines = [line for line in buffer[:end].split(b"\n") if line.strip()]
        place = self._place_at(self.place.offset + end) if end else self.place
        return Lines(lines, place, too_long)

    def was_truncated(self) -> bool:
        """Whether the file is shorter than the place, or holds something else before it by now."""
        tail = self._bytes_before(self.place.offset, self.place.tail_bytes)
        return len(tail) < self.place.tail_bytes or zlib.crc32(tail) != self.place.tail_checksum

    def has_more(self) -> bool:
        """Whether anything stands behind the place."""
        return os.fstat(self._descriptor).st_size > self.place.offset

    def skip_to_end(self) -> None:
        """Take what is there as read."""
        self.place = self._place_at(os.fstat(self._descriptor).st_size)

    def start_over(self) -> None:
        """Read from the first byte on."""
        self.place = Place(self.place.device, self.place.inode)

    def is_at(self, path: Path) -> bool:
        """Whether the path still names this file."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _place_at(self, offset: int) -> Place:
        tail = self._bytes_before(offset, min(offset, FINGERPRINT_BYTES))
        return Place(self.place.device, self.place.inode, offset, len(tail), zlib.crc32(tail))

    def _bytes_before(self, offset: int, count: int) -> bytes:
        return os.pread(self._descriptor, count, offset - count)
