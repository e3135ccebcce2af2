"""Open the database named by a URL: SQLite in WAL mode, or PostgreSQL through psycopg."""

import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from tollkeeper.errors import InvalidInput
from tollkeeper.money import EXACT

BUSY_TIMEOUT_SECONDS = 30
POOL_SIZE = 16


def open_engine(database_url: str, password: str | None = None) -> Engine:
    """Return an engine for `sqlite:///path` or `postgresql://...`; raises InvalidInput for anything else.

    `password` is put into a PostgreSQL URL that names none. What a statement was given (a name, a digest, an
    event) stays out of its error, and so out of the log.
    """
    url = _parse(database_url)
    if password is not None and url.password is None:
        url = url.set(password=password)
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(url)
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10},
    )


def _parse(database_url: str) -> URL:
    try:
        url = make_url(database_url.replace("postgres://", "postgresql://", 1))
    except ArgumentError:
        raise InvalidInput.of(
            "/DATABASE_URL",
            "is no database URL; write sqlite:///tollkeeper.db or postgresql://user@host/name",
        ) from None
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise InvalidInput.of("/DATABASE_URL", f"{url.drivername!r} is not supported; use sqlite or postgresql")
    return url


def _open_sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        _make_folder(Path(url.database).parent)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput.of(
            "/DATABASE_URL", f"the folder {folder} cannot be made ({error.strerror}); name one that may be written"
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transaction control would begin late and silently; _begin_sqlite says BEGIN itself.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("decimal_add", 2, _decimal_add, deterministic=True)
    # typeshed asks for a protocol with a return type that sqlite3 itself does not
    make_sum: Callable[[], Any] = _DecimalSum
    connection.create_aggregate("decimal_sum", 1, make_sum)


def _begin_sqlite(connection: Connection) -> None:
    # A writer that starts as a reader can fail with SQLITE_BUSY at its first write whatever the timeout,
    # so a transaction says at its start which of the two it is (storage/session.py).
    mode = "DEFERRED" if connection.get_execution_options().get("tollkeeper_read_only") else "IMMEDIATE"
    connection.exec_driver_sql(f"BEGIN {mode}")


def _decimal_add(left: str | int | None, right: str | int | None) -> str:
    return format(EXACT.add(Decimal(left or 0), Decimal(right or 0)), "f")


class _DecimalSum:
    """SUM over decimals kept as text; NULL of no rows is "0"."""

    def __init__(self) -> None:
        self.total = Decimal(0)

    def step(self, number: str | int | None) -> None:
        if number is not None:
            self.total = EXACT.add(self.total, Decimal(number))

    def finalize(self) -> str:
        return format(self.total, "f")
