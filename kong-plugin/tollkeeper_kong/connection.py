"""One of Kong's pooled connections: messages in, the engine's answers out."""

import socket
import struct
import time
from collections.abc import Callable, Iterator

import msgpack
from gevent import Timeout
from gevent.hub import get_hub

from tollkeeper_kong.engine import Engine, Malformed
from tollkeeper_kong.wire import decode_request
from tollkeeper_kong.workers import Workers

READ_BYTES = 16_384
MOST_MESSAGE_BYTES = 64 * 1024 * 1024  # a buffered answer may come back in one step
MOST_ELEMENTS = 65_536  # msgpack makes room for as many as a header claims, before they have come
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_GARBAGE = (Malformed, msgpack.UnpackException, ValueError, TypeError, RecursionError, MemoryError)


class Connection:
    """Reads, answers, and closes on garbage.

    The watcher of the socket stays in place between messages, and the socket is read only when there is something to
    read: half the system calls of trying first, and nothing made or thrown away per message.
    """

    def __init__(
        self,
        sock: socket.socket,
        engine: Engine,
        workers: Workers,
        *,
        ended: Callable[["Connection"], None],
        send_seconds: float = 10.0,
    ) -> None:
        self._socket = sock
        self._receive, self._send = sock.recv, sock.send
        self._engine = engine
        self._answer = engine.answer_request
        self._ready = workers.ready
        self._ended = ended
        self._send_seconds = send_seconds
        self._pieces: _Pieces | None = None
        self._is_busy = self._is_closing = self._is_closed = False
        self._hub = get_hub()
        self._watcher = self._hub.loop.io(sock.fileno(), 1)
        self._is_watched = False
        self._watch()
        self.half_since: float | None = None

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._socket.fileno()

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing was read that is not answered."""
        return not self._is_busy and not self._is_closed and self._pieces is None

    @property
    def peer_pid(self) -> int:
        """The process that has opened the connection."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(credentials)[0])

    def detach(self) -> int:
        """Let go of a connection between messages and return its file descriptor, which stays open."""
        self._forget()
        return self._socket.detach()

    def close(self) -> None:
        """End the connection; a handler that waits is let through first."""
        self._is_closing = True
        if not self._is_busy:
            self._close()

    def read(self) -> None:
        """Read once and answer what is whole; called by a worker when there is something to read."""
        if self._is_busy or self._is_closed:  # a handler waits: look at the socket again when it is through
            self._unwatch()
            return
        self._is_busy = True
        try:
            self._read()
        except BlockingIOError:
            pass
        except _GARBAGE:
            self._engine.counters.malformed += 1
            self._is_closing = True
        except (OSError, Timeout):
            self._engine.counters.broken += 1
            self._is_closing = True
        self._is_busy = False
        if self._is_closing:
            self._close()
        elif not self._is_watched:
            self._watch()

    def _read(self) -> None:
        received = self._receive(READ_BYTES)
        if self._pieces is None and received:
            try:
                request = decode_request(received)
            except (ValueError, TypeError, RecursionError):
                self._answer_pieces(received)
                return
            reply = self._answer(request)
            try:
                sent = self._send(reply)
            except BlockingIOError:
                sent = 0
            if sent != len(reply):
                self._send_rest(memoryview(reply)[sent:])
        elif received:
            self._answer_pieces(received)
        else:
            self._is_closing = True

    def _answer_pieces(self, received: bytes) -> None:
        """Answer whatever is no single request: several messages, pieces of one, other calls, garbage."""
        pieces = self._pieces = self._pieces or _Pieces()
        for message in pieces.feed(received):
            self._send_rest(memoryview(self._engine.answer(message)))
        if pieces.is_empty:
            self._pieces = self.half_since = None
        else:
            self.half_since = self.half_since or time.monotonic()

    def _send_rest(self, rest: memoryview) -> None:
        """Send, waiting for room in the socket's buffer; a reader that stands still is given up."""
        writable = None
        try:
            with Timeout(self._send_seconds):
                while rest:
                    try:
                        rest = rest[self._send(rest) :]
                    except BlockingIOError:
                        writable = writable or self._hub.loop.io(self._socket.fileno(), 2)
                        self._hub.wait(writable)
        finally:
            if writable is not None:
                writable.stop()
                writable.close()

    def _watch(self) -> None:
        self._is_watched = True
        self._watcher.start(self._ready.append, self)

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._watcher.stop()

    def _close(self) -> None:
        if not self._is_closed:
            self._forget()
            self._socket.close()

    def _forget(self) -> None:
        self._is_closed = True
        self._unwatch()
        self._watcher.close()
        self._ended(self)


class _Pieces:
    """Messages that come cut, several at once, or with strings that are not UTF-8: a header may hold any bytes."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            unicode_errors="surrogateescape",
            strict_map_key=False,
            read_size=READ_BYTES,
            max_buffer_size=MOST_MESSAGE_BYTES,
            max_array_len=MOST_ELEMENTS,
            max_map_len=MOST_ELEMENTS,
        )
        self._fed = 0
        self.is_empty = True  # every byte belonged to a whole message

    def feed(self, received: bytes) -> Iterator[object]:
        """Add what was read and yield the messages that are whole now."""
        self._unpacker.feed(received)
        self._fed += len(received)
        self.is_empty = False
        while self._unpacker.tell() < self._fed:
            try:
                message = self._unpacker.unpack()
            except msgpack.OutOfData:
                return
            yield message
        self.is_empty = True
