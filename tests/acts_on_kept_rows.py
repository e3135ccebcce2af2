"""Every act that a table's promise forbids, as SQL: made from the schema, so that no table or column is forgotten."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Integer, LargeBinary, String, Table, UniqueConstraint
from sqlalchemy.orm import Session

from tollkeeper.storage.append_only import KEPT, Kept
from tollkeeper.storage.base import Base, ExactDecimal, UtcDateTime

OTHER: list[tuple[type[Any], str]] = [
    (UtcDateTime, "'2001-01-01T00:00:00.000000Z'"),
    (ExactDecimal, "'987654'"),
    (Boolean, "NOT {name}"),
    (Integer, "987654"),
    (JSON, """'{{"other": 1}}'"""),
    (String, "'other'"),
    (LargeBinary, "'x'"),
]


def kept_tables() -> dict[str, tuple[Table, Kept]]:
    """Return every table whose rows never change, by name."""
    tables = Base.metadata.sorted_tables
    return {table.name: (table, table.info[KEPT]) for table in tables if KEPT in table.info}


def acts_against(session: Session, table: Table, kept: Kept) -> Iterator[str]:
    """Yield statements that each change, remove or replace a row that is kept."""
    is_kept = kept.is_kept.format(row=table.name) if kept.is_kept else "1 = 1"
    row = f"{table.name} WHERE {is_kept}"
    for column in table.columns:
        if column.name not in kept.living:
            yield f"UPDATE {table.name} SET {column.name} = {_another(column)} WHERE {is_kept}"
    yield f"DELETE FROM {row}"
    if session.get_bind().dialect.name == "postgresql":
        yield f"TRUNCATE {table.name} CASCADE"
        return
    yield f"UPDATE {table.name} SET rowid = rowid + 1000 WHERE {is_kept}"
    keys = unique_keys(table)
    is_alias = isinstance(next(iter(table.primary_key.columns)).type, Integer)  # an integer key is the rowid
    for key, which in keys if is_alias else [(("rowid",), "1 = 1"), *keys]:
        # only this key is in the way: every other one is new
        others = {name for names, _ in keys for name in names} - set(key)
        taken = [_another(column) if column.name in others else column.name for column in table.columns]
        names = [column.name for column in table.columns]
        if key == ("rowid",):
            names, taken = ["rowid", *names], ["rowid", *taken]
        has_key = " AND ".join(f"{name} IS NOT NULL" for name in key)
        chosen = f"SELECT {', '.join(taken)} FROM {row} AND {has_key} AND {which} LIMIT 1"
        yield f"INSERT OR REPLACE INTO {table.name} ({', '.join(names)}) {chosen}"


def unique_keys(table: Table) -> list[tuple[tuple[str, ...], str]]:
    """Return the columns of each key that only one row may have, and for which rows."""
    keys: list[tuple[Sequence[Any], str]] = [(list(table.primary_key.columns), "1 = 1")]
    keys += [(list(one.columns), "1 = 1") for one in table.constraints if isinstance(one, UniqueConstraint)]
    for index in table.indexes:
        if index.unique:
            where = index.dialect_options["sqlite"]["where"]
            keys.append((list(index.columns), "1 = 1" if where is None else str(where)))
    return sorted((tuple(column.name for column in key), which) for key, which in keys)


def _another(column: Column[Any]) -> str:
    return next(value for kind, value in OTHER if isinstance(column.type, kind)).format(name=column.name)
