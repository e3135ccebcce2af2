"""The only place that commits: one request or one job is one transaction."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from tollkeeper.errors import Unavailable
from tollkeeper.storage.engine import BUSY_TIMEOUT_SECONDS

SQLITE_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
# Classes of SQLSTATE: connection, transaction rollback (deadlock), resources, operator intervention, system.
POSTGRESQL_AWAY = {"08", "40", "53", "57", "58"}
LOCK_NOT_AVAILABLE = "55P03"


class Database:
    """An engine and the two ways to use it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reader = engine.execution_options(tollkeeper_read_only=True)
        self._writer = threading.Lock() if engine.dialect.name == "sqlite" else None
        if engine.dialect.name == "postgresql":
            self._reader = self._reader.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session that is committed at the end, or rolled back as a whole on any exception."""
        with (
            self._turn(),
            _away_is_unavailable(),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Yield a session that sees one instant of the database and changes nothing.

        PostgreSQL refuses a write in it, SQLite rolls it back.
        """
        with _away_is_unavailable(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait among this process's writers on SQLite, which has one.

        SQLite itself would sleep up to a tenth of a second at a time while the lock is free again, and let
        whoever comes then go first.
        """
        if self._writer is None:
            yield
            return
        if not self._writer.acquire(timeout=BUSY_TIMEOUT_SECONDS):
            raise Unavailable("another transaction is writing for too long")
        try:
            yield
        finally:
            self._writer.release()

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


@contextmanager
def _away_is_unavailable() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or _is_away(error.orig):
            raise Unavailable("the database is away") from error
        raise
    except psycopg.Error as error:  # of those who speak to the driver themselves
        if _is_away(error):
            raise Unavailable("the database is away") from error
        raise
    except PoolTimeout as error:
        raise Unavailable("every connection to the database is busy") from error


def _is_away(error: object) -> bool:
    """Say whether the engine could not do it now, and may do it later: nothing was changed."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode & 0xFF in SQLITE_AWAY
    if isinstance(error, psycopg.OperationalError):
        # Without a state the server was never reached.
        state = error.sqlstate
        return state is None or state == LOCK_NOT_AVAILABLE or state[:2] in POSTGRESQL_AWAY
    return False
