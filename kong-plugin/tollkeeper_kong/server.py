"""The plugin server's life: accept, sweep, notice an orphan, drain on SIGTERM."""

import errno
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import gevent
import gevent.event
from gevent.hub import get_hub

from tollkeeper_kong.connection import Connection
from tollkeeper_kong.engine import Engine
from tollkeeper_kong.handover import Door, hand_over
from tollkeeper_kong.listener import PublishedSocket
from tollkeeper_kong.peers import Peers, own_name, pid_of
from tollkeeper_kong.workers import Workers

_ACCEPTS_PER_TURN = 64
_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server listens and how it ends."""

    socket_path: Path
    socket_mode: int = 0o660
    backlog: int = 4096
    connections: int = 16_384
    half_message_seconds: float = 10.0
    drain_seconds: float = 5.0
    parent: int | None = None
    """The server ends when this process is its parent no more."""
    successor_seconds: float = 5.0
    """It goes on for so long then, unless a successor listens: at a reload that one is still starting."""


class Server:
    """Serves one engine on one unix socket until it is stopped."""

    def __init__(
        self, engine: Engine, options: ServerOptions, *, every_second: Callable[[float], None] | None = None
    ) -> None:
        self._engine = engine
        self._options = options
        self._connections: set[Connection] = set()
        self._workers = Workers()
        self._every_second = every_second or (lambda _now: None)
        self._stopping = gevent.event.Event()
        self._is_succeeded = False
        self._orphaned_at: float | None = None
        self.stop_reason = ""

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    @property
    def is_succeeded(self) -> bool:
        """Whether another server has taken over the path: during `kong reload`, until this one ends."""
        return self._is_succeeded

    def stop(self, reason: str) -> None:
        """Begin to drain; `serve` returns when that is done. May be called more than once."""
        self.stop_reason = self.stop_reason or reason
        self._stopping.set()

    def serve(self, *, started: Callable[[], None] | None = None) -> None:
        """Answer Kong until SIGTERM, SIGINT, `stop` or, where that is asked for, the end of the parent process.

        `started` is called when Kong can connect. When this returns, no event is under way any more.
        """
        _raise_open_files_limit()
        self._publish()
        self._engine.elsewhere = Peers(self._options.socket_path).ask
        signals = [
            gevent.signal_handler(number, self.stop, signal.Signals(number).name)
            for number in (signal.SIGTERM, signal.SIGINT)
        ]
        sweeper = gevent.spawn(self._sweep)
        try:
            if started:
                started()
            self._stopping.wait()
        finally:
            self._published.withdraw()
            self._drain_events()  # a successor may still pass steps on
            self._unpublish()
            self._close_connections()
            self._workers.close()
            sweeper.kill()
            for handler in signals:
                handler.cancel()

    def _publish(self) -> None:
        self._door = Door(own_name(self._options.socket_path, os.getpid()), self._accepted)
        self._published = PublishedSocket(
            self._options.socket_path, mode=self._options.socket_mode, backlog=self._options.backlog
        )
        self._acceptor = _Acceptor(self._published.socket, self._accepted, self._engine)
        self._is_succeeded = False

    def _unpublish(self) -> None:
        self._acceptor.close()
        self._published.close()
        self._door.close()

    def _look_at_path(self) -> None:
        """See whose the path is. Take it again when it is gone: `kong start` removes the sockets in its prefix."""
        if self._stopping.is_set():
            return
        if os.path.lexists(self._options.socket_path):
            self._is_succeeded = not self._published.is_current()
            return
        self._unpublish()
        with suppress(OSError):  # the folder is gone too: try again
            self._publish()

    def _accepted(self, sock: socket.socket) -> None:
        if len(self._connections) >= self._options.connections:
            self._engine.counters.accept_failures += 1
            sock.close()
            return
        connection = Connection(sock, self._engine, self._workers, ended=self._connections.discard)
        self._connections.add(connection)
        self._engine.counters.connections += 1

    def _sweep(self) -> None:
        """Now and then, end what was abandoned: events, half messages, this server when its parent is gone."""
        while True:
            gevent.sleep(self._engine.sweep_seconds)
            self._engine.sweep()
            now = time.monotonic()
            self._every_second(now)
            self._look_at_path()
            before = now - self._options.half_message_seconds
            for connection in list(self._connections):
                if connection.half_since is not None and connection.half_since < before:
                    self._engine.counters.half_messages += 1
                    connection.close()
            self._look_at_parent(now)

    def _look_at_parent(self, now: float) -> None:
        """End when the parent process is gone: once a successor has the path, or none has come."""
        if self._options.parent in {None, os.getppid()}:
            return
        self._orphaned_at = self._orphaned_at or now
        if self._is_succeeded or now - self._orphaned_at >= self._options.successor_seconds:
            self.stop("the parent process is gone")

    def _drain_events(self) -> None:
        """Take what was sent before the end and let events that have begun end, within the time allowed.

        A successor takes the connections over; for an event of ours it asks us until that ends, and an instance of ours
        is unknown from now on, so that Kong starts it there.
        """
        deadline = time.monotonic() + self._options.drain_seconds
        successor = self._published.successor()
        if successor is not None:
            self._engine.instances.by_id.clear()
        while True:
            if successor is not None:
                hand_over(successor, self._connections_of_kong(pid_of(successor)))
            if not (len(self._engine.waiting) or self._has_unread()) or time.monotonic() >= deadline:
                break
            gevent.sleep(0.02)
        self._engine.abandon()

    def _connections_of_kong(self, successor_pid: int) -> list[Connection]:
        """Return the connections on which no server asks another."""
        return [connection for connection in self._connections if connection.peer_pid != successor_pid]

    def _has_unread(self) -> bool:
        """Say whether a connection, taken or not, holds what is not answered yet, be it that a peer is asked."""
        unread = select.poll()
        unread.register(self._published.socket, select.POLLIN)
        for connection in self._connections:
            if not connection.is_between_messages:
                return True
            unread.register(connection, select.POLLIN)
        return bool(unread.poll(0))

    def _close_connections(self) -> None:
        """Close every connection; handlers that wait are let through first, for a second."""
        deadline = time.monotonic() + 1.0
        for connection in list(self._connections):
            connection.close()
        while self._connections and time.monotonic() < deadline:
            gevent.sleep(0.01)


class _Acceptor:
    """Takes new connections off the listening socket, and pauses when the process has no file descriptor left."""

    def __init__(self, listening: socket.socket, accepted: Callable[[socket.socket], None], engine: Engine) -> None:
        self._listening = listening
        self._accepted = accepted
        self._engine = engine
        loop = get_hub().loop
        self._watcher = loop.io(listening.fileno(), 1)
        self._pause = loop.timer(0.1)
        self._watcher.start(self._accept)

    def close(self) -> None:
        """Accept no more."""
        for watcher in (self._watcher, self._pause):
            watcher.stop()
            watcher.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, _address = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                self._engine.counters.accept_failures += 1
                if error.errno in _FULL:
                    self._watcher.stop()
                    self._pause.start(self._watcher.start, self._accept)
                return
            sock.settimeout(0)
            self._accepted(sock)


def _raise_open_files_limit() -> None:
    """Allow as many open files as the system lets us: each of Kong's pooled connections is one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
