"""One leader runs the timetable: a file lock beside a SQLite database, an advisory lock in PostgreSQL.

Both locks belong to the process or connection that holds them, so the leader's death frees them at once. The
work itself does not depend on it: every job claims rows or compares versions, so a second leader, in the moment
that a lost connection takes to be noticed, does nothing twice.
"""

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from tollkeeper.errors import InvalidInput
from tollkeeper.storage.session import Database

ADVISORY_LOCK = 0x746F6C6C6A6F6273  # "tolljobs": any constant that nothing else in the database uses


class Leadership(Protocol):
    """A lock that one process at a time can have."""

    def take(self) -> bool:
        """Take it or keep it; tell whether it is ours now."""
        ...

    def give_up(self) -> None:
        """Let another process take it."""
        ...


def leadership_of(database: Database, data_dir: Path) -> Leadership:
    """Return the lock that fits the engine."""
    if database.engine.dialect.name == "postgresql":
        return AdvisoryLock(database)
    name = hashlib.sha256(os.fsencode(_absolute_path(database))).hexdigest()[:16]
    return FileLock(data_dir / f"jobs-{name}.lock")


def _absolute_path(database: Database) -> str:
    return str(Path(database.engine.url.database or "").resolve())


class FileLock:
    """flock on a file of this machine: SQLite is for one machine, too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> bool:
        """Take it or keep it; tell whether it is ours now. Raises InvalidInput if the file cannot be made."""
        if self._file is not None:
            return True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InvalidInput.of("/TOLLKEEPER_DATA_DIR", f"cannot hold lock files: {error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    def give_up(self) -> None:
        """Let another process take it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class AdvisoryLock:
    """A lock of one PostgreSQL session, on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None

    def take(self) -> bool:
        """Take it or keep it; tell whether it is ours now: a lost connection has lost the lock."""
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT 1"))
                return True
            connection = self._engine.connect()
            if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK}):
                self._connection = connection
                return True
            connection.close()
        except DBAPIError:
            self._drop()
        return False

    def give_up(self) -> None:
        """Let another process take it."""
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        except DBAPIError:
            pass  # the connection is gone, and the lock with it
        self._drop()

    def _drop(self) -> None:
        # The pool would keep the session, and the lock with it: close the connection itself.
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
