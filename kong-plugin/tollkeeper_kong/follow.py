"""Follow the file that Kong's bundled file-log plugin writes, and spool the same records that the plugin makes.

What was read is noted only after the spool has kept it. Killed in between, the same lines are read again and make the
same records under the same ids.
"""

import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from tollkeeper_kong.exchange import NotAnExchange, exchange_from_serialize
from tollkeeper_kong.followed_file import FollowedFile, Lines, Place, find_copy, find_renamed, open_file, rotated_names
from tollkeeper_kong.record import usage_record
from tollkeeper_kong.segments import write_atomically
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.spool_writer import Fsync

MOST_OLD_FILES = 8
MOST_FINISHED = 256
FLUSH_SECONDS = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """Which file, whose records, where to."""

    path: Path
    spool_dir: Path
    node: str
    poll_seconds: float = 0.2
    old_file_seconds: float = 3600.0
    """How long a renamed file is read on: Kong writes to it until its workers reopen the path."""
    stop: threading.Event = field(default_factory=threading.Event)


class FollowCounters(msgspec.Struct):
    """Since the start of this follower."""

    lines: int = 0
    spooled: int = 0
    unreadable: int = 0
    """Lines that are not what file-log writes. They are counted, never copied: they may hold secrets."""
    too_long: int = 0
    truncations: int = 0
    missing_files: int = 0
    """Files that were not read to their end and are gone."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The places in all files that are being read, oldest first, and in those that are read to their end."""

    places: list[Place] = []
    finished: list[Place] = []


def run_follower(options: FollowOptions, spool: Spool) -> FollowCounters:
    """Follow until told to stop."""
    follower = Follower(options, spool)
    while not options.stop.is_set():
        try:
            has_moved = follower.read_on()
        except OSError as error:
            log.error("follow_failed", path=str(options.path), error=str(error))  # noqa: TRY400 - the text says it
            has_moved = False
        if not has_moved:
            options.stop.wait(options.poll_seconds)
    follower.close()
    return follower.counters


def start_follower(options: FollowOptions, max_bytes: int, fsync: Fsync) -> threading.Thread:
    """Follow in a thread with a spool of its own; ends after `options.stop`."""

    def run() -> None:
        spool = Spool(options.spool_dir, max_bytes=max_bytes, fsync=fsync, when_full="deny")
        try:
            run_follower(options, spool)
        finally:
            spool.close()

    thread = threading.Thread(target=run, name=f"follow-{options.path.name}", daemon=True)
    thread.start()
    return thread


class Follower:
    """Reads one path on; renamed predecessors first. For one thread."""

    def __init__(self, options: FollowOptions, spool: Spool) -> None:
        self.counters = FollowCounters()
        self._options = options
        self._spool = spool
        name = f"{options.path.name}-{zlib.crc32(str(options.path.absolute()).encode()):08x}.checkpoint"
        self._checkpoint_path = options.spool_dir / "follow" / name
        self._files: list[FollowedFile] = []
        self._grew_at: dict[int, float] = {}
        self._finished: list[Place] = []
        self._saved: Checkpoint | None = None
        self._has_resumed = False

    def read_on(self) -> bool:
        """Read what is new, once; whether there was anything. Raises OSError; then call again."""
        if not self._has_resumed:
            self._resume()
            self._has_resumed = True
        self._look_at_path()
        has_moved = False
        for file in list(self._files):
            if file.was_truncated():
                self._rescue_truncated(file)
                has_moved = True
            found = file.read()
            if found.place == file.place:
                continue
            if not self._keep(found):
                return False  # nothing is noted: the same lines are read again
            file.place = found.place
            self._grew_at[found.place.inode] = time.monotonic()
            has_moved = True
        self._forget_old_files()
        self._save()
        return has_moved

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()
        self._files.clear()

    def _keep(self, found: Lines) -> bool:
        """Spool the records of some lines; False if the spool has not kept them all."""
        spooled = unreadable = 0
        for line in found.lines:
            try:
                record = usage_record(exchange_from_serialize(line), node=self._options.node)
            except NotAnExchange:
                unreadable += 1
                continue
            while self._spool.is_full or not self._spool.append(record):  # the file itself holds what waits
                if self._options.stop.wait(self._options.poll_seconds):
                    return False
            spooled += 1
        if unreadable or found.too_long:
            log.error("follow_unreadable_lines", path=str(self._options.path), lines=unreadable + found.too_long)
        if not self._spool.flush(FLUSH_SECONDS):
            return False
        self.counters.lines += len(found.lines)
        self.counters.too_long += found.too_long
        self.counters.spooled += spooled
        self.counters.unreadable += unreadable
        return True

    def _look_at_path(self) -> None:
        """Open what the path names, and what rotation has made of what it named meanwhile."""
        path = self._options.path
        if any(file.is_at(path) for file in self._files):
            return
        for candidate in [*rotated_names(path), path]:
            if any(file.is_at(candidate) for file in self._files):
                continue
            file = self._open_unfinished(candidate)
            if file is not None:
                self._files.append(file)
                self._grew_at[file.place.inode] = time.monotonic()

    def _open_unfinished(self, candidate: Path) -> FollowedFile | None:
        """Open a file that we have not read to its end: where we left it, or from its start."""
        for place in self._finished:
            file = open_file(candidate, place)
            if file is not None and file.has_more():
                self._finished.remove(place)
                return file
            if file is not None:
                file.close()
                return None
        return open_file(candidate)

    def _rescue_truncated(self, file: FollowedFile) -> None:
        """Read the rest of a truncated file from the copy that was made of it, then the file from its start."""
        self.counters.truncations += 1
        copy = find_copy(self._options.path, file.place)
        if copy is not None:
            while (found := copy.read()).place != copy.place:
                if not self._keep(found):
                    raise OSError("the spool does not keep what was read")
                copy.place = found.place
            copy.close()
        log.warning("followed_file_truncated", path=str(self._options.path), has_copy=copy is not None)
        file.start_over()

    def _forget_old_files(self) -> None:
        """Close renamed files that have been quiet for long, or are too many."""
        for file in self._files[:-1]:
            quiet_seconds = time.monotonic() - self._grew_at.get(file.place.inode, 0.0)
            if quiet_seconds > self._options.old_file_seconds or len(self._files) > MOST_OLD_FILES:
                self._files.remove(file)
                self._finished = [*self._finished, file.place][-MOST_FINISHED:]
                self._grew_at.pop(file.place.inode, None)
                file.close()

    def _resume(self) -> None:
        try:
            self._saved = msgspec.json.decode(self._checkpoint_path.read_bytes(), type=Checkpoint)
        except FileNotFoundError:
            self._finish_old_files()
            return
        except msgspec.DecodeError as error:
            log.warning("follow_checkpoint_unreadable", path=str(self._checkpoint_path), error=type(error).__name__)
            return
        self._finished = list(self._saved.finished)
        for place in self._saved.places:
            self._resume_at(place)

    def _finish_old_files(self) -> None:
        """At the very first start, take what was rotated before as not ours to read."""
        self._finished = []
        for candidate in rotated_names(self._options.path):
            file = open_file(candidate)
            if file is not None:
                file.skip_to_end()
                self._finished.append(file.place)
                file.close()
        self._save()

    def _resume_at(self, place: Place) -> None:
        path = self._options.path
        file = find_renamed(path, place) or find_copy(path, place)
        if file is None:
            self.counters.missing_files += 1
            log.warning("followed_file_gone", path=str(path), inode=place.inode, read_bytes=place.offset)
            return
        self._files.append(file)
        self._grew_at[file.place.inode] = time.monotonic()

    def _save(self) -> None:
        checkpoint = Checkpoint([file.place for file in self._files], list(self._finished))
        if checkpoint != self._saved:
            self._checkpoint_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._checkpoint_path, msgspec.json.encode(checkpoint))
            self._saved = checkpoint
