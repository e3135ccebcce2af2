"""Records that the backend refused, kept with the reason in files that a person can read and send again.

rejected/000001.jsonl   {"set_aside_at": "…", "error": "…", "event": {…}}   ("text" instead of "event" if it is no JSON)
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

FILE_BYTES = 8 * 1024 * 1024
MOST_FILES = 16

log = structlog.get_logger()


class SetAside:
    """Appends to `rejected/*.jsonl` under the spool directory; the oldest file goes when there are too many."""

    def __init__(self, directory: Path, *, file_bytes: int = FILE_BYTES, most_files: int = MOST_FILES) -> None:
        self._directory = directory
        self._file_bytes = file_bytes
        self._most_files = most_files
        self.count = 0
        self.forgotten = 0

    def keep(self, refused: Sequence[tuple[bytes, str]]) -> None:
        """Append records with their reasons, durably: what they came from is deleted next. Raises OSError."""
        if not refused:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = b"".join(_line(now, record, error) for record, error in refused)
        descriptor = os.open(self._current_file(), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.write(_end_of_torn_line(file) + lines)
            file.flush()
            os.fsync(file.fileno())
        self.count += len(refused)
        log.error("records_set_aside", records=len(refused), error=refused[0][1], directory=str(self._directory))

    def _current_file(self) -> Path:
        files = sorted(self._directory.glob("[0-9]*.jsonl"))
        if files and files[-1].stat().st_size < self._file_bytes:
            return files[-1]
        number = int(files[-1].stem) + 1 if files else 1
        for oldest in files[: max(0, len(files) + 1 - self._most_files)]:
            lost = oldest.read_bytes().count(b"\n")
            oldest.unlink()
            self.forgotten += lost
            log.error("set_aside_records_deleted", file=oldest.name, records=lost, most_files=self._most_files)
        return self._directory / f"{number:06d}.jsonl"


def _end_of_torn_line(file: BinaryIO) -> bytes:
    """Return what must come before new lines if a crash left the last one incomplete."""
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _line(now: str, record: bytes, error: str) -> bytes:
    line: dict[str, object] = {"set_aside_at": now, "error": error}
    try:
        event = msgspec.json.decode(record)
        line["event"] = event if b"\n" in record else msgspec.Raw(record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        line["text"] = record.decode("utf-8", "replace")
    return msgspec.json.encode(line) + b"\n"
