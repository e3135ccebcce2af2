"""The server beside this one: while two serve one path, each asks the other for what it does not know itself.

Kong takes any pooled connection for each call. During `kong reload` the pool of a new worker holds connections to the
old server, from before the new one took over the path, and to the new one. A step then reaches a server that has not
begun its event; refusing it would lose the record, and let a request pass that was about to be refused.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import gevent
import gevent.socket
import msgpack

ASK_SECONDS = 1.5  # less than Kong waits, LUA_SOCKET_READ_TIMEOUT=2s
FROM_PEER = "peer."
"""Begins the methods of a call that a peer passes on: it is not passed on again."""


class Peers:
    """The other servers that listen in the folder of a published path, each under a name of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = own_name(path, os.getpid())

    def ask(self, message_id: int, method: str, argument: object) -> bytes | None:
        """Return the reply of the server that knows the event or instance; None if there is none."""
        message: bytes | None = None
        for name in socket_names(self._path):
            if name == self._own:
                continue
            if message is None:
                message = msgpack.packb(
                    [0, message_id, FROM_PEER + method, [argument]], unicode_errors="surrogateescape"
                )
            reply = _reply_of(name, message)
            if reply is not None:
                return reply
        return None


def own_name(path: Path, pid: int) -> Path:
    """Return the name that a server's socket keeps when another one takes over the path."""
    return path.with_name(f".{path.name}.{pid}")


def pid_of(name: Path) -> int:
    """Return the process id of the server of a name."""
    return int(name.name.rpartition(".")[2])


def socket_names(path: Path) -> Iterator[Path]:
    """Yield the names of the servers that serve a path, or did when they were killed."""
    begin = own_name(path, 0).name[:-1]
    with suppress(OSError):
        for entry in os.scandir(path.parent):
            is_name = entry.name.startswith(begin) and entry.name.removeprefix(begin).isdigit()
            if is_name and stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                yield Path(entry.path)


def _reply_of(name: Path, message: bytes) -> bytes | None:
    """Ask one server; None if it is not there, does not know, or takes too long."""
    unpacker = msgpack.Unpacker(unicode_errors="surrogateescape", strict_map_key=False)
    received = bytearray()
    connection = gevent.socket.socket(gevent.socket.AF_UNIX)
    try:
        with gevent.Timeout(ASK_SECONDS, False):  # noqa: FBT003 - gevent's way to say: end the block in silence
            connection.connect(str(name))
            connection.sendall(message)
            while chunk := connection.recv(65_536):
                received += chunk
                unpacker.feed(chunk)
                for reply in unpacker:
                    return bytes(received) if type(reply) is list and len(reply) == 4 and reply[2] is None else None
    except (OSError, ValueError, msgpack.UnpackException):
        return None
    finally:
        connection.close()
    return None
