"""Insert rows that others may be inserting at the same time: the unique key decides, never a look before."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

Row = Mapping[str, Any]
Insert = postgresql.Insert | sqlite.Insert


def insert_into(session: Session, table: type[DeclarativeBase]) -> Insert:
    """Return the engine's own INSERT, which knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if is_postgresql(session) else sqlite.insert(table)


def insert_ignoring(session: Session, table: type[DeclarativeBase], rows: Sequence[Row]) -> None:
    """Insert the rows whose unique keys are not there yet; sort them, so that two writers cannot deadlock."""
    if rows:
        session.execute(insert_into(session, table).on_conflict_do_nothing(), rows)


def table_of(entity: type[DeclarativeBase]) -> Table:
    """Return the table that an entity stands for."""
    table = entity.__table__
    assert isinstance(table, Table)
    return table


def is_postgresql(session: Session) -> bool:
    """Say which of the two engines the session is on."""
    return session.get_bind().dialect.name == "postgresql"
