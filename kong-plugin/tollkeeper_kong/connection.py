"""One of Kong's pooled connections: a greenlet that reads messages and sends the engine's answers."""

import socket
import time
from collections.abc import Callable, Iterator

import msgpack
import msgspec
from gevent import Greenlet, Timeout
from gevent.hub import get_hub

from tollkeeper_kong.engine import Engine, Malformed

READ_BYTES = 16_384
MOST_MESSAGE_BYTES = 64 * 1024 * 1024  # a buffered answer may come back in one step
MOST_ELEMENTS = 65_536  # msgpack makes room for as many as a header claims, before they have come
_decode = msgspec.msgpack.Decoder().decode
_GARBAGE = (Malformed, msgpack.UnpackException, ValueError, TypeError, RecursionError, MemoryError)


class Connection:
    """Reads, answers, and closes on garbage.

    The watcher of the socket stays in place between messages, and the socket is read only when there is something to
    read: half the system calls of trying first, and nothing made or thrown away per wait.
    """

    def __init__(self, sock: socket.socket, engine: Engine, *, send_seconds: float = 10.0) -> None:
        self._socket = sock
        self._engine = engine
        self._send_seconds = send_seconds
        self._hub = get_hub()
        self._watcher = self._hub.loop.io(sock.fileno(), 1)
        self._is_watched = False
        self._is_waiting = False
        self._pieces: _Pieces | None = None
        self.half_since: float | None = None
        self._greenlet = Greenlet(self._run)

    def start(self, ended: Callable[["Connection"], None]) -> None:
        """Begin to answer; `ended` is called once, when the connection is closed."""
        self._greenlet.link(lambda _greenlet: ended(self))
        self._greenlet.start()

    def close(self) -> None:
        """End the connection from outside; a message in the middle is not answered."""
        self._greenlet.kill(block=False)

    def _run(self) -> None:
        try:
            self._answer_all()
        except _GARBAGE:
            self._engine.counters.malformed += 1
        except (OSError, Timeout):
            self._engine.counters.broken += 1
        finally:
            self._watcher.stop()
            self._watcher.close()
            self._socket.close()

    def _answer_all(self) -> None:
        """Read and answer until the other side hangs up.

        Nearly always a read brings one whole message, which msgspec decodes in half the time. Anything else goes to
        msgpack's unpacker, which keeps what is not whole yet and takes strings that are not UTF-8.
        """
        wait, receive, send, answer = self._hub.switch, self._socket.recv, self._send, self._engine.answer
        while True:
            if not self._is_watched:
                self._is_watched = True
                self._watcher.start(self._readable)
            self._is_waiting = True
            wait()
            self._is_waiting = False
            try:
                received = receive(READ_BYTES)
            except BlockingIOError:
                continue
            if not received:
                return
            if self._pieces is None:
                try:
                    message = _decode(received)
                except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
                    self._pieces = _Pieces()
                else:
                    send(answer(message))
                    continue
            self._answer_pieces(received)

    def _answer_pieces(self, received: bytes) -> None:
        """Answer what has become whole; be through with pieces when nothing is left over."""
        pieces = self._pieces
        assert pieces is not None
        for message in pieces.feed(received):
            self._send(self._engine.answer(message))
        if pieces.is_empty:
            self._pieces = self.half_since = None
        else:
            self.half_since = self.half_since or time.monotonic()

    def _readable(self) -> None:
        """Wake the greenlet; called by the event loop, again and again while there is something to read."""
        if self._is_waiting:
            self._greenlet.switch()
        else:  # a handler waits for something else; look at the socket again when it is through
            self._watcher.stop()
            self._is_watched = False

    def _send(self, reply: bytes) -> None:
        try:
            sent = self._socket.send(reply)
        except BlockingIOError:
            sent = 0
        if sent != len(reply):
            self._send_rest(memoryview(reply)[sent:])

    def _send_rest(self, rest: memoryview) -> None:
        """Send what the socket's buffer had no room for; a reader that stands still is given up."""
        writable = self._hub.loop.io(self._socket.fileno(), 2)
        try:
            with Timeout(self._send_seconds):
                while rest:
                    self._hub.wait(writable)
                    rest = rest[self._socket.send(rest) :]
        finally:
            writable.stop()
            writable.close()


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
