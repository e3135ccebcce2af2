"""The unix socket at its path: published atomically, withdrawn only by the server whose socket it is."""

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class PublishedSocket:
    """A listening socket under a path that another server may take over at any time.

    During `kong reload` the new server starts while the old one still answers. The new socket is bound beside the path
    and renamed onto it, so that no client ever finds the path empty; the old server, when it ends, leaves it alone.
    """

    def __init__(self, path: Path, *, mode: int = 0o660, backlog: int = 4096) -> None:
        self.path = path
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.bind(str(beside))
            beside.chmod(mode)
            self.socket.listen(backlog)
            self.socket.settimeout(0)
            self._identity = _identity_of(beside)
            with self._lock():
                beside.rename(path)
        except BaseException:
            self.socket.close()
            beside.unlink(missing_ok=True)
            raise

    def is_current(self) -> bool:
        """Say whether the path still leads to this server."""
        return _identity_of(self.path) == self._identity

    def withdraw(self) -> None:
        """Stop listening; remove the path unless it belongs to a newer server by now."""
        self.socket.close()
        with suppress(OSError), self._lock():
            if self.is_current():
                self.path.unlink()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one server at a time change the path."""
        descriptor = os.open(
            self.path.with_name(f".{self.path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666
        )
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
