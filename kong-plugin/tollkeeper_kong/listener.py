"""The unix socket at its path: published atomically, withdrawn only by the server whose socket it is."""

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tollkeeper_kong.handover import door_of
from tollkeeper_kong.peers import own_name, socket_names


class PublishedSocket:
    """A listening socket under a path that another server may take over at any time.

    During `kong reload` the new server starts while the old one still answers. The new socket is bound under a name of
    its own and linked onto the path in one step, so that no client ever finds the path empty; the old server, when it
    ends, leaves the path alone. By its own name a server is found when the path is another's (peers.py).
    """

    def __init__(self, path: Path, *, mode: int = 0o660, backlog: int = 4096) -> None:
        self.path = path
        self._own = own_name(path, os.getpid())
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with self._lock():
                self._remove_dead_names()
                self.socket.bind(str(self._own))
                self._own.chmod(mode)
                self.socket.listen(backlog)
                self.socket.settimeout(0)
                self._identity = _identity_of(self._own)
                self._take_path()
        except BaseException:
            self.socket.close()
            raise

    def is_current(self) -> bool:
        """Say whether the path still leads to this server."""
        return _identity_of(self.path) == self._identity

    def successor(self) -> Path | None:
        """Return the own name of the server that has taken over the path; None while it is ours or nobody's."""
        current = _identity_of(self.path)
        if current is None or current == self._identity:
            return None
        return next((name for name in socket_names(self.path) if _identity_of(name) == current), None)

    def withdraw(self) -> None:
        """Remove the path unless it belongs to a newer server by now."""
        with suppress(OSError), self._lock():
            if self.is_current():
                self.path.unlink()

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()
        self._own.unlink(missing_ok=True)

    def _take_path(self) -> None:
        beside = self._own.with_name(f"{self._own.name}.new")
        beside.unlink(missing_ok=True)
        try:
            os.link(self._own, beside)
        except OSError:  # a file system without hard links: no peer will find this server once the path is another's
            beside = self._own
        beside.rename(self.path)

    def _remove_dead_names(self) -> None:
        """Remove what killed servers left. Under the lock: one that has bound and does not listen yet looks dead."""
        for name in socket_names(self.path):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.setblocking(False)  # noqa: FBT003 - the socket's own method
                try:
                    probe.connect(str(name))
                except ConnectionRefusedError:
                    name.unlink(missing_ok=True)
                    if name != self._own:  # one killed with our process id: the door is ours already
                        door_of(name).unlink(missing_ok=True)
                except OSError:
                    continue
        self._own.unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one server at a time change the path."""
        # read only: the lock may be another user's, of a server that was once started by hand
        lock = self.path.with_name(f".{self.path.name}.lock")
        descriptor = os.open(lock, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _identity_of(path: Path) -> tuple[int, int] | None:
    """Return what tells this socket file from another one at the same path; None when there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISSOCK(status.st_mode) else None
