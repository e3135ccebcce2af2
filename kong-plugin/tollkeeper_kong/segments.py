"""Segment files: their names, who owns them, how far they were shipped.

    <start ms>-<pid>-<nonce>-<n>.open            being written; its writer holds a lock on it
    <start ms>-<pid>-<nonce>-<n>.<records>.seg   closed, with the number of its records
    <start ms>-<pid>-<nonce>-<n>.progress        how far the shipper got

The nonce is the writer's, so that what it begins within one millisecond is in order too.

A lock dies with its process. So an `.open` file whose lock is free has no writer any more, however that ended.
"""

import fcntl
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tollkeeper_kong.frames import HEAD_BYTES, MOST_RECORD_BYTES, frames, read_stretch

_NAME = re.compile(r"(?P<stem>(?P<start>\d{13})-\d+-[0-9a-f]+-\d{6,})\.(?:open|(?P<records>\d+)\.seg)")
ABANDONED_SECONDS = 600.0
_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file as seen in the directory."""

    stem: str
    path: Path
    size: int
    records: int | None
    """None while it is being written, or after its writer died."""

    @property
    def started_at(self) -> float:
        """Seconds since 1970, by the clock of the writer."""
        return int(self.stem.partition("-")[0]) / 1000

    @property
    def progress_path(self) -> Path:
        """Where the shipper notes how far it got."""
        return self.path.with_name(f"{self.stem}.progress")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a segment was shipped: the next byte, the next record's sequence."""

    offset: int = 0
    sequence: int = 0


def list_segments(directory: Path) -> list[Segment]:
    """Return the segments of all processes, oldest first; none if there is no directory."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(FileNotFoundError):  # closed, shipped or dropped meanwhile
                records = match["records"]
                size = entry.stat().st_size
                found.append(Segment(match["stem"], Path(entry.path), size, None if records is None else int(records)))
    return sorted(found, key=lambda segment: segment.stem)


def load_progress(segment: Segment) -> Progress:
    """Return how far the segment was shipped; what cannot be read means from the start: repeats are harmless."""
    try:
        offset, sequence = segment.progress_path.read_text().split()
        return Progress(int(offset), int(sequence))
    except (OSError, ValueError):
        return Progress()


def save_progress(segment: Segment, progress: Progress) -> None:
    """Note how far the segment was shipped. Not synced: after a power cut the shipper repeats, under the same ids."""
    write_atomically(segment.progress_path, f"{progress.offset} {progress.sequence}\n".encode(), sync=False)


def delete_segment(segment: Segment) -> None:
    """Remove a segment and its progress; no error if it is gone."""
    segment.path.unlink(missing_ok=True)
    segment.progress_path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """Hold a segment alone; yield its descriptor, or None when somebody else holds it or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor if try_lock(descriptor, path) else None
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, path: Path) -> bool:
    """Lock an open segment unless somebody holds it, or it has another name by now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def close_orphan(segment: Segment, descriptor: int) -> Segment:
    """Give an `.open` segment without a writer its closed name; the caller holds its lock."""
    records = count_records(descriptor)
    path = segment.path.with_name(f"{segment.stem}.{records}.seg")
    segment.path.rename(path)
    return Segment(segment.stem, path, os.fstat(descriptor).st_size, records)


def count_records(descriptor: int) -> int:
    """Return the sequence after the last whole record: what was ever in this file, damaged ones included."""
    offset, sequence = 0, 0
    while buffer := os.pread(descriptor, _READ_BYTES + MOST_RECORD_BYTES + HEAD_BYTES, offset):
        is_final = len(buffer) < _READ_BYTES
        stretch = read_stretch(buffer, sequence, is_final=is_final)
        sequence = stretch.next_sequence
        # nothing whole in more than the longest record: damage, look further on
        offset += stretch.end or _READ_BYTES
    return sequence


class OpenSegment:
    """The segment that this process writes. Every method may raise OSError."""

    def __init__(self, directory: Path, number: int, *, nonce: str, sync: bool) -> None:
        stem = f"{int(time.time() * 1000):013d}-{os.getpid()}-{nonce}-{number:06d}"
        self.path = directory / f"{stem}.open"
        self.size = 0
        self.records = 0
        self.began = time.monotonic()
        self._stem = stem
        self._synced_size = 0
        self._synced_records = 0
        draft = directory / f"{stem}.new"
        self._descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            # locked before it has the name that a shipper looks for
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            draft.rename(self.path)
            if sync:
                sync_directory(directory)
        except OSError:
            os.close(self._descriptor)
            draft.unlink(missing_ok=True)
            raise

    def append(self, records: list[bytes]) -> int:
        """Write records to the page cache; return the bytes that they took."""
        content = frames(records, self.records)
        view = memoryview(content)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self.size += len(content)
        self.records += len(records)
        return len(content)

    def sync(self) -> None:
        """Wait until what was appended is on the disk."""
        sync_content(self._descriptor)
        self.settle()

    def settle(self) -> None:
        """Take what was appended as kept, come what may."""
        self._synced_size, self._synced_records = self.size, self.records

    def close(self) -> None:
        """Give the segment its closed name and let go of it. An empty one is removed."""
        try:
            if self.records:
                self.path.rename(self.path.with_name(f"{self._stem}.{self.records}.seg"))
            else:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)

    def abandon(self) -> None:
        """Close after a failed write or sync: what was not kept is cut off, the writer will write it elsewhere.

        Nothing is ever appended behind the cut: a shipper may have read past it already.
        """
        with suppress(OSError):
            os.ftruncate(self._descriptor, self._synced_size)
        self.records = self._synced_records
        with suppress(OSError):  # without its closed name it is an orphan, which the shipper closes
            self.close()


def write_atomically(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace a file's content: readers see the old or the new one, mode 0600."""
    draft = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(3)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    if sync:
        sync_directory(path.parent)


def sync_content(descriptor: int) -> None:
    """Wait until a file's content is on the disk."""
    if sys.platform == "darwin":  # has no fdatasync
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(directory: Path) -> None:
    """Remove what crashes left: drafts nobody writes any more, progress of segments that are gone."""
    stems = {segment.stem for segment in list_segments(directory)}
    for path in [*directory.glob("*.new"), *directory.glob("*.progress")]:
        if path.suffix == ".progress" and path.stem in stems:
            continue
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
