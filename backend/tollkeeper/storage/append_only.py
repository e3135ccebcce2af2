"""Tables whose rows are only ever added: triggers refuse the rest, below every program that writes to the database."""

from collections.abc import Iterator

from sqlalchemy import DDL, FromClause, event
from sqlalchemy.schema import ExecutableDDLElement


def keep_append_only(table: FromClause, message: str) -> None:
    """Let the database refuse to change or remove rows of a table with one text `id`, from its creation on."""
    for dialect, statements in (("sqlite", _sqlite_ddl), ("postgresql", _postgresql_ddl)):
        for statement in statements(str(table), message):
            # DDL() formats with %, and none of the statements holds one; SQLAlchemy has no type for its constructor
            ddl: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


def _sqlite_ddl(table: str, message: str) -> Iterator[str]:
    there = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)"  # noqa: S608 - the name of a table of ours
    # REPLACE deletes the row that is in its way, and SQLite tells no trigger of DELETE about it
    for verb, when in (("INSERT", there), ("UPDATE", ""), ("DELETE", "")):
        yield (
            f"CREATE TRIGGER {table}_keep_{verb.lower()} BEFORE {verb} ON {table} {when} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )


def _postgresql_ddl(table: str, message: str) -> Iterator[str]:
    yield (
        f"CREATE OR REPLACE FUNCTION tollkeeper_keep_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    yield (
        f"CREATE OR REPLACE TRIGGER {table}_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION tollkeeper_keep_{table}()"
    )
