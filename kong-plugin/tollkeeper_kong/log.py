"""Structured logs: one JSON object a line, limited in rate, written by a thread of their own.

Nginx reads our output through a pipe. A pipe that nobody empties must not stop the plugin server, so a full queue drops
lines and counts them.
"""

import queue
import sys
import threading
import time
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

LINES_PER_WINDOW = 10
WINDOW_SECONDS = 10.0
_QUEUE_LINES = 1000


class RateLimit:
    """Lets ten lines of each event pass per ten seconds; the next that passes says how many did not."""

    def __init__(self, lines: int = LINES_PER_WINDOW, seconds: float = WINDOW_SECONDS) -> None:
        self._lines = lines
        self._seconds = seconds
        self._windows: dict[str, tuple[float, int]] = {}  # event -> when its window began, lines since
        self._lock = threading.Lock()

    def __call__(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Drop the line or let it through: a processor of structlog."""
        event, now = str(line.get("event")), time.monotonic()
        with self._lock:
            began, count = self._windows.get(event, (now, 0))
            suppressed = 0
            if now - began >= self._seconds:
                suppressed, began, count = max(0, count - self._lines), now, 0
            self._windows[event] = (began, count + 1)
        if count >= self._lines:
            raise structlog.DropEvent
        if suppressed:
            line["suppressed"] = suppressed
        return line


class QueuedWriter:
    """Hands lines to a native thread; never waits for the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._queue: queue.Queue[str | None] = queue.Queue(_QUEUE_LINES)
        self.dropped = 0
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def msg(self, line: str) -> None:
        """Queue a line, or drop it when the reader of the stream is too slow."""
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    log = debug = info = warning = error = critical = exception = msg

    def close(self, seconds: float = 1.0) -> None:
        """Write what is queued, for at most `seconds`."""
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _write_all(self) -> None:
        while (line := self._queue.get()) is not None:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # the pipe is closed; there is nobody to tell
                self.dropped += 1


_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logs(level: str, stream: TextIO | None = None) -> QueuedWriter:
    """Send structlog's lines through the rate limit to the stream, standard error by default."""
    writer = QueuedWriter(stream or sys.stderr)
    structlog.configure(
        processors=[
            RateLimit(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    return writer
