"""Rows that never change: one way to say so, and triggers that refuse the rest below every program that writes.

The triggers are part of the tables' schema, so that a mistake in our own code, a REPLACE or an UPDATE by hand fails
as well. Who may change the schema may take them away; the digests and `tollkeeper check-books` are for that.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import DDL, FromClause, Index, Table, UniqueConstraint, event
from sqlalchemy.schema import ExecutableDDLElement

KEPT = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a table promises of its rows, and the words with which the database refuses the rest.

    Conditions are SQL in which `{row}` stands for the row. `living` columns may change, all others never do. Of a
    table with drafts, `is_kept` says which rows the promise is about; it never ceases to hold, and neither does
    `stays` once it holds. With `is_closed` nothing is added to what is kept either (the lines of a document).
    """

    message: str
    living: frozenset[str] = frozenset()
    is_kept: str | None = None
    stays: str | None = None
    is_closed: bool = False


def keep_rows(table: FromClause, kept: Kept) -> tuple[str, ...]:
    """Let the database refuse what breaks the promise, from the table's creation on; return the fixed columns."""
    assert isinstance(table, Table)
    table.info[KEPT] = kept
    run_after_create(table, "sqlite", _sqlite_ddl(table, kept))
    run_after_create(table, "postgresql", _postgresql_ddl(table, kept))
    return _fixed_columns(table, kept)


def keep_append_only(table: FromClause, message: str) -> None:
    """Let the database refuse to change, replace or remove any row of a table, from its creation on."""
    keep_rows(table, Kept(message=message))


def run_after_create(table: FromClause, dialect: str, statements: Iterator[str]) -> None:
    """Make statements part of a table's schema on one engine; they hold no percent sign."""
    for statement in statements:
        # DDL() formats with %; SQLAlchemy has no type for its constructor
        ddl: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]
        event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


def pin_search_path(function: str) -> str:
    """Return the statement that lets a PostgreSQL function see our tables, whatever temporary ones hide them."""
    path = f"'ALTER FUNCTION {function}() SET search_path = ' || quote_ident(current_schema()) || ', pg_temp'"
    return f"DO $$ BEGIN EXECUTE {path}; END $$"


def _fixed_columns(table: Table, kept: Kept) -> tuple[str, ...]:
    unknown = kept.living - set(table.columns.keys())
    assert not unknown, f"{table.name} has no {sorted(unknown)}"
    return tuple(column.name for column in table.columns if column.name not in kept.living)


def _changes(table: Table, kept: Kept, differs: str) -> str | None:
    """Return the condition under which an UPDATE breaks the promise; None means that any does."""
    breaks = []
    if kept.living:
        breaks += [f"NEW.{name} {differs} OLD.{name}" for name in _fixed_columns(table, kept)]
        breaks += [
            f"({held.format(row='OLD')} AND NOT ({held.format(row='NEW')}))"
            for held in (kept.is_kept, kept.stays)
            if held
        ]
    if kept.is_kept is None:
        return " OR ".join(breaks) or None
    changes = f"({kept.is_kept.format(row='OLD')})" + (f" AND ({' OR '.join(breaks)})" if breaks else "")
    return f"{changes} OR ({kept.is_kept.format(row='NEW')})" if kept.is_closed else changes


def _sqlite_ddl(table: Table, kept: Kept) -> Iterator[str]:
    # REPLACE deletes the row that is in its way, and SQLite tells no trigger of DELETE about it
    added = _sqlite_replaces(table, kept, ["kept.rowid = NEW.rowid", *_unique_keys(table, frozenset())])
    if kept.is_kept and kept.is_closed:
        added = f"({kept.is_kept.format(row='NEW')}) OR {added}"
    changes = _changes(table, kept, "IS NOT")
    if changes is not None:
        changes += " OR NEW.rowid <> OLD.rowid"
        moving = list(_unique_keys(table, frozenset() if kept.is_kept else kept.living))
        changes += f" OR {_sqlite_replaces(table, kept, moving)} AND kept.rowid <> OLD.rowid)" if moving else ""
    deleted = kept.is_kept.format(row="OLD") if kept.is_kept else None
    for verb, condition in (("INSERT", f"{added})"), ("UPDATE", changes), ("DELETE", deleted)):
        when = "" if condition is None else f" WHEN {condition}"
        yield (
            f"CREATE TRIGGER {table.name}_keep_{verb.lower()} BEFORE {verb} ON {table.name}{when} "
            f"BEGIN SELECT RAISE(ABORT, '{kept.message}'); END"
        )


def _sqlite_replaces(table: Table, kept: Kept, ways: list[str]) -> str:
    """Return an EXISTS, open at its end, of a kept row that is in the way of a new one."""
    which = f" AND ({kept.is_kept.format(row='kept')})" if kept.is_kept else ""
    return f"EXISTS (SELECT 1 FROM {table.name} AS kept WHERE ({' OR '.join(ways)}){which}"  # noqa: S608 - names of ours


def _unique_keys(table: Table, living: frozenset[str]) -> Iterator[str]:
    """Yield the condition under which two rows have a unique key in common; only keys with `living` columns, if any."""
    named = {tuple(one.columns.keys()) for one in table.constraints if isinstance(one, UniqueConstraint)}
    keys = [(tuple(table.primary_key.columns.keys()), "")]
    keys += [(names, "") for names in sorted(named)]
    # a bare name in the condition of a partial index is the kept row's: NEW and OLD have to be named
    keys += [(tuple(index.columns.keys()), _where(index)) for index in _unique_indexes(table)]
    for names, where in keys:
        if not living or living & set(names):
            yield " AND ".join(f"kept.{name} = NEW.{name}" for name in names) + where


def _unique_indexes(table: Table) -> list[Index]:
    return sorted((index for index in table.indexes if index.unique), key=lambda index: str(index.name))


def _where(index: Index) -> str:
    where = index.dialect_options["sqlite"]["where"]
    return "" if where is None else f" AND {where}"


def _postgresql_ddl(table: Table, kept: Kept) -> Iterator[str]:
    refuse = f"RAISE EXCEPTION '{kept.message}' USING ERRCODE = 'integrity_constraint_violation'"
    changes = _changes(table, kept, "IS DISTINCT FROM")
    head = f"CREATE OR REPLACE FUNCTION tollkeeper_keep_{table.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    if changes is None:
        yield f"{head}{refuse}; END $$"
        yield _postgresql_trigger(table, "keep", "UPDATE OR DELETE OR TRUNCATE", "STATEMENT")
        return
    body = f"IF TG_OP = 'UPDATE' THEN IF {changes} THEN {refuse}; END IF; RETURN NEW; END IF; "
    if kept.is_kept:
        is_kept_old = kept.is_kept.format(row="OLD")
        body += f"IF TG_OP = 'DELETE' THEN IF {is_kept_old} THEN {refuse}; END IF; RETURN OLD; END IF; "
    if kept.is_kept and kept.is_closed:
        is_kept_new = kept.is_kept.format(row="NEW")
        body += f"IF TG_OP = 'INSERT' THEN IF {is_kept_new} THEN {refuse}; END IF; RETURN NEW; END IF; "
    yield f"{head}{body}{refuse}; END $$"
    yield pin_search_path(f"tollkeeper_keep_{table.name}")
    verbs = "INSERT OR UPDATE OR DELETE" if kept.is_closed else "UPDATE OR DELETE"
    yield _postgresql_trigger(table, "keep", verbs, "ROW")
    yield _postgresql_trigger(table, "keep_whole", "TRUNCATE", "STATEMENT")


def _postgresql_trigger(table: Table, suffix: str, verbs: str, each: str) -> str:
    return (
        f"CREATE OR REPLACE TRIGGER {table.name}_{suffix} BEFORE {verbs} ON {table.name} "
        f"FOR EACH {each} EXECUTE FUNCTION tollkeeper_keep_{table.name}()"
    )
