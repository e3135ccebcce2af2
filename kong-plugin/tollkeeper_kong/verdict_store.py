"""The last verdicts on disk, so that a plugin server that starts while the backend is away knows them.

One JSON object a line: subjects, then the frame of the answer that they came with. A delta is appended; what comes
after the last whole frame is a crash's and is left out.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from tollkeeper_kong.feed import (
    REST_EVERY_SUBJECTS,
    REST_SECONDS,
    FeedFrame,
    FeedLimit,
    FeedScope,
    FeedSubject,
    NotAFeed,
)
from tollkeeper_kong.segments import write_atomically
from tollkeeper_kong.snapshot import Limit, Scope, Snapshot, SnapshotBuilder, format_time

FILE_NAME = "verdicts.ndjson"
LOCK_NAME = "verdicts.lock"
LEAST_REWRITE_BYTES = 1024 * 1024

log = structlog.get_logger()


class VerdictStore:
    """One file, written by one process at a time: whoever holds the lock. Others read it at their start."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._lock_path = directory / LOCK_NAME
        self._lock: int | None = None
        self._whole_bytes = 0
        """Size after the last rewrite: deltas may add as much again."""

    def load(self, builder: SnapshotBuilder) -> Snapshot | None:
        """Return the snapshot kept here, given to the builder too; None if there is none that can be read."""
        snapshot: Snapshot | None = None
        try:
            heard_at = self._path.stat().st_mtime
            received_at = time.monotonic() - max(0.0, time.time() - heard_at)
            with self._path.open("rb") as file:
                for answer in _answers(file):
                    snapshot = builder.apply(answer, received_at=received_at)
        except FileNotFoundError:
            return None
        except (OSError, NotAFeed) as error:
            log.warning("kept_verdicts_unreadable", path=str(self._path), error=str(error))
        return snapshot

    def keep(self, snapshot: Snapshot, subjects: list[FeedSubject] | None, frame: FeedFrame) -> None:
        """Keep an answer that made this snapshot; `subjects` is None if they were too many to append.

        A disk that refuses is told and stops nothing.
        """
        try:
            if not self._is_writer():
                return
            if subjects is None or frame.full or self._has_grown():
                self.rewrite(snapshot)
            elif subjects or frame.removed:
                self._append(subjects, frame)
            else:
                os.utime(self._path)
        except OSError as error:
            log.warning("verdicts_not_kept", path=str(self._path), error=str(error))
            self._whole_bytes = -LEAST_REWRITE_BYTES  # write it all the next time

    def close(self) -> None:
        """Let another process write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _is_writer(self) -> bool:
        if self._lock is not None:
            return True
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # the server that we succeed still writes
            os.close(descriptor)
            return False
        self._lock = descriptor
        self._whole_bytes = -LEAST_REWRITE_BYTES  # somebody else may have written what we have not
        return True

    def _has_grown(self) -> bool:
        with suppress(FileNotFoundError):
            return self._path.stat().st_size > 2 * self._whole_bytes + LEAST_REWRITE_BYTES
        return True

    def rewrite(self, snapshot: Snapshot) -> None:
        """Replace the file by this snapshot, whole. Raises OSError."""
        content = b"".join(_lines(snapshot))
        write_atomically(self._path, content)
        self._whole_bytes = len(content)

    def _append(self, subjects: list[FeedSubject], frame: FeedFrame) -> None:
        lines = [msgspec.json.encode(part) + b"\n" for part in [*subjects, frame]]
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "ab") as file:
            file.write(b"".join(lines))


def _answers(lines: Iterable[bytes]) -> Iterator[list[FeedSubject | FeedFrame]]:
    """Yield the subjects of each answer with its frame; a torn end is left out."""
    answer: list[FeedSubject | FeedFrame] = []
    for number, line in enumerate(lines):
        try:
            part = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        answer.append(part)
        if isinstance(part, FeedFrame):
            yield answer
            answer = []
        if number % REST_EVERY_SUBJECTS == 0:
            time.sleep(REST_SECONDS)


def _decode(line: bytes) -> FeedSubject | FeedFrame:
    if line.startswith(b'{"cursor"'):
        return msgspec.json.decode(line, type=FeedFrame)
    return msgspec.json.decode(line, type=FeedSubject)


def _lines(snapshot: Snapshot) -> Iterator[bytes]:
    encode = msgspec.json.encode
    for number, (subject, limits) in enumerate(snapshot.all()):
        yield encode(FeedSubject(subject, None, [_wire(limit) for limit in limits])) + b"\n"
        if number % REST_EVERY_SUBJECTS == 0:
            time.sleep(REST_SECONDS)
    yield encode(FeedFrame(snapshot.cursor or "", True, format_time(snapshot.generated_at))) + b"\n"  # noqa: FBT003


def _wire(limit: Limit) -> FeedLimit:
    terms = limit.terms
    return FeedLimit(
        limit.id,
        terms.feature,
        terms.kind,
        "deny" if limit.denies else "allow",
        _wire_scope(terms.scope),
        limit.reason,
        terms.code,
        None if terms.limit is None else f"{terms.limit:f}" if not isinstance(terms.limit, int) else str(terms.limit),
        str(limit.used) if isinstance(limit.used, int) else f"{limit.used:f}",
        None if limit.resets_at is None else format_time(limit.resets_at),
        terms.is_hard,
        terms.status,
    )


def _wire_scope(scope: Scope) -> FeedScope:
    route_ids, service_ids = scope.has_by_id
    parts = (scope.routes, route_ids, scope.services, service_ids, scope.methods, scope.models)
    return FeedScope(*(tuple(sorted(part)) for part in parts))
