"""Open connections go from a server that ends to its successor: none closes under Kong's hands.

Kong takes any idle connection of its pool for a call. One that closes at that moment costs the event, and Kong does not
ask again. So the successor gets the connections themselves, with what is in their buffers, over a socket of its own
beside its name.
"""

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path

import gevent
import gevent.socket

from tollkeeper_kong.connection import Connection

SEND_SECONDS = 2.0
_DONORS = 16


def door_of(name: Path) -> Path:
    """Return where the server of this name takes connections. As short as can be: a socket's path has 107 bytes."""
    return name.with_name(f"{name.name}+")


class Door:
    """Takes the connections of servers that end. Where it cannot be opened, they close them as they end."""

    def __init__(self, name: Path, taken: Callable[[socket.socket], None]) -> None:
        self._path = door_of(name)
        self._taken = taken
        self._listening = gevent.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._listening.bind(str(self._path))
            self._path.chmod(0o600)
            self._listening.listen(_DONORS)
        self._greenlets = [gevent.spawn(self._accept)]

    def close(self) -> None:
        """Take no more."""
        gevent.killall(self._greenlets)
        self._listening.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with suppress(OSError):  # it does not listen
            while True:
                donor, _address = self._listening.accept()
                self._greenlets.append(gevent.spawn(self._take, donor))

    def _take(self, donor: gevent.socket.socket) -> None:
        with closing(donor), suppress(OSError):
            while True:
                word, descriptors, _flags, _address = socket.recv_fds(donor, 1, 1)
                if not word:
                    return
                for descriptor in descriptors:
                    taken = socket.socket(fileno=descriptor)
                    taken.settimeout(0)
                    self._taken(taken)


def hand_over(successor: Path, connections: Iterable[Connection]) -> None:
    """Give the successor what connections can be given now; the rest stay as they are."""
    with (
        gevent.Timeout(SEND_SECONDS, False),  # noqa: FBT003 - gevent's way to say: end the block in silence
        suppress(OSError),
        closing(gevent.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as way,
    ):
        way.connect(str(door_of(successor)))
        for connection in connections:
            if connection.is_between_messages:
                descriptor = connection.detach()
                try:
                    socket.send_fds(way, [b"+"], [descriptor])
                finally:
                    os.close(descriptor)
