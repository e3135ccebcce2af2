"""Keep credit notes as they were issued: a digest over the content, and triggers that refuse every change."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import DDL, event
from sqlalchemy.schema import ExecutableDDLElement

from tollkeeper.invoices.credit_note_tables import CreditNote, CreditNoteLine

LIVING_COLUMNS = frozenset(
    {
        "status", "voided_at", "voided_by",
        "stripe_id", "stripe_state", "stripe_due_at", "stripe_failures", "stripe_problem",
    }
)  # fmt: skip
FIXED_COLUMNS = tuple(column.name for column in CreditNote.__table__.columns if column.name not in LIVING_COLUMNS)
LINE_COLUMNS = tuple(column.name for column in CreditNoteLine.__table__.columns)
REFUSAL = "an issued credit note never changes"


def note_document_of(note: CreditNote, lines: Sequence[CreditNoteLine]) -> dict[str, Any]:
    """Return everything that a credit note says, as plain JSON."""
    return {
        "credit_note": {name: _plain(getattr(note, name)) for name in FIXED_COLUMNS if name != "content_digest"},
        "lines": [{name: getattr(line, name) for name in LINE_COLUMNS} for line in lines],
    }


def note_digest(note: CreditNote, lines: Sequence[CreditNoteLine]) -> str:
    """Return sha256 over everything that a credit note says, as canonical JSON."""
    text = json.dumps(note_document_of(note, lines), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _sqlite_ddl() -> Iterator[str]:
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FIXED_COLUMNS)
    yield _sqlite_trigger("credit_notes", "UPDATE", f" WHEN {changed} OR OLD.status = 'void' AND NEW.status <> 'void'")
    yield _sqlite_trigger("credit_notes", "DELETE")
    yield _sqlite_trigger("credit_note_lines", "UPDATE")
    yield _sqlite_trigger("credit_note_lines", "DELETE")


def _sqlite_trigger(table: str, verb: str, when: str = "") -> str:
    return (
        f"CREATE TRIGGER {table}_keep_{verb.lower()} BEFORE {verb} ON {table}{when} "
        f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    )


def _postgresql_ddl() -> Iterator[str]:
    refuse = f"RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'"
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FIXED_COLUMNS)
    changed += " OR OLD.status = 'void' AND NEW.status <> 'void'"
    yield _postgresql_function("tollkeeper_keep_document", f"{refuse};")
    yield _postgresql_function("tollkeeper_keep_credit_note", f"IF {changed} THEN {refuse}; END IF; RETURN NEW;")
    yield _postgresql_trigger("credit_notes", "UPDATE", "ROW", "tollkeeper_keep_credit_note")
    yield _postgresql_trigger("credit_notes", "DELETE OR TRUNCATE", "STATEMENT", "tollkeeper_keep_document", "_whole")
    yield _postgresql_trigger(
        "credit_note_lines", "UPDATE OR DELETE OR TRUNCATE", "STATEMENT", "tollkeeper_keep_document"
    )


def _postgresql_function(name: str, body: str) -> str:
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"


def _postgresql_trigger(table: str, verbs: str, each: str, function: str, suffix: str = "") -> str:
    return (
        f"CREATE OR REPLACE TRIGGER {table}_keep{suffix} BEFORE {verbs} ON {table} "
        f"FOR EACH {each} EXECUTE FUNCTION {function}()"
    )


def immutability_ddl(dialect: str) -> tuple[str, ...]:
    """Return the statements that create the triggers, for migrations and for fresh schemas."""
    return tuple(_postgresql_ddl() if dialect == "postgresql" else _sqlite_ddl())


def _create_triggers_with_the_tables() -> None:
    # CreditNoteLine is created after CreditNote, so both tables are there.
    for dialect in ("sqlite", "postgresql"):
        for statement in immutability_ddl(dialect):
            # DDL() formats with %, and none of the statements holds one; SQLAlchemy has no type for its constructor
            ddl: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(CreditNoteLine.__table__, "after_create", ddl.execute_if(dialect=dialect))


_create_triggers_with_the_tables()
