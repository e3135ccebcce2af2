"""Keep issued invoices unchanged: a digest over the content, and triggers that refuse to change it.

The triggers stand below every program that writes to the database, so that a mistake in our own code or an
UPDATE by hand fails as well. Migrations run `immutability_ddl` too (tests/invoices/test_immutable.py).
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import DDL, event
from sqlalchemy.schema import ExecutableDDLElement

from tollkeeper.invoices.tables import Invoice, InvoiceLine

# The later life of a document; everything else is its content and never changes once it is issued.
LIVING_COLUMNS = frozenset(
    {
        "status", "paid_at", "voided_at", "amount_paid_minor", "amount_credited_minor", "act_count",
        "stripe_id", "stripe_status", "stripe_problem", "stripe_is_stand_in", "hosted_invoice_url",
    }
)  # fmt: skip
_WAS_ISSUED = "OLD.status <> 'draft'"
# A void invoice stays void; how else a status may move is the code's to say (close_invoice.py).
_COMES_BACK = "NEW.status = 'draft' OR (OLD.status = 'void' AND NEW.status <> 'void')"
FIXED_COLUMNS = tuple(column.name for column in Invoice.__table__.columns if column.name not in LIVING_COLUMNS)
LINE_COLUMNS = tuple(column.name for column in InvoiceLine.__table__.columns)


def document_of(invoice: Invoice, lines: Sequence[InvoiceLine]) -> dict[str, Any]:
    """Return everything that an issued invoice says, as plain JSON."""
    return {
        "invoice": {name: _plain(getattr(invoice, name)) for name in FIXED_COLUMNS if name != "content_digest"},
        "lines": [
            {name: _plain(getattr(line, name)) for name in LINE_COLUMNS}
            for line in sorted(lines, key=lambda line: line.position)
        ],
    }


def content_digest(invoice: Invoice, lines: Sequence[InvoiceLine]) -> str:
    """Return sha256 over everything that an issued invoice says, as canonical JSON."""
    text = json.dumps(document_of(invoice, lines), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | dict | list):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    # A decimal comes back from the two engines with different trailing zeros; its number is what is signed.
    return format(value.normalize(), "f")


def immutability_ddl(dialect: str) -> tuple[str, ...]:
    """Return the statements that create the triggers, for migrations and for fresh schemas."""
    return _postgresql_ddl() if dialect == "postgresql" else _sqlite_ddl()


def _sqlite_ddl() -> tuple[str, ...]:
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FIXED_COLUMNS)
    return (
        # REPLACE deletes the row that is in its way, and SQLite tells no trigger of DELETE about it.
        _sqlite_trigger("invoices", "INSERT", _SQLITE_REPLACES_INVOICE),
        _sqlite_trigger("invoices", "UPDATE", f"{_WAS_ISSUED} AND ({_COMES_BACK} OR {changed})"),
        _sqlite_trigger("invoices", "DELETE", _WAS_ISSUED),
        _sqlite_trigger("invoice_lines", "INSERT", f"{_line_is_issued('NEW')} OR {_SQLITE_REPLACES_LINE}"),
        _sqlite_trigger("invoice_lines", "UPDATE", _line_is_issued("OLD")),
        _sqlite_trigger("invoice_lines", "DELETE", _line_is_issued("OLD")),
    )


_SQLITE_REPLACES_INVOICE = (
    "EXISTS (SELECT 1 FROM invoices WHERE status <> 'draft' AND (id = NEW.id OR number = NEW.number "
    "OR stripe_id = NEW.stripe_id OR (legal_entity = NEW.legal_entity AND sequence_number = NEW.sequence_number)))"
)
_SQLITE_REPLACES_LINE = (
    "EXISTS (SELECT 1 FROM invoice_lines AS old JOIN invoices ON invoices.id = old.invoice_id "
    "WHERE old.id = NEW.id AND invoices.status <> 'draft')"
)


def _line_is_issued(row: str) -> str:
    return f"(SELECT status FROM invoices WHERE id = {row}.invoice_id) <> 'draft'"  # noqa: S608 - no input in it


def _sqlite_trigger(table: str, verb: str, condition: str) -> str:
    return (
        f"CREATE TRIGGER {table}_keep_{verb.lower()} BEFORE {verb} ON {table} WHEN {condition} "
        "BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END"
    )


def _postgresql_ddl() -> tuple[str, ...]:
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FIXED_COLUMNS)
    return (
        _postgresql_function("invoices", _WAS_ISSUED, f"{_COMES_BACK} OR {changed}"),
        _postgresql_function("invoice_lines", "TRUE", _line_is_issued("NEW")),
        _postgresql_trigger("invoices", "UPDATE OR DELETE"),
        _postgresql_trigger("invoice_lines", "INSERT OR UPDATE OR DELETE"),
        _POSTGRESQL_KEEP_WHOLE,
        _postgresql_truncate_trigger("invoices"),
        _postgresql_truncate_trigger("invoice_lines"),
    )


_POSTGRESQL_REFUSAL = (
    "RAISE EXCEPTION 'an issued invoice never changes' USING ERRCODE = 'integrity_constraint_violation'"
)

_POSTGRESQL_KEEP_WHOLE = (
    "CREATE OR REPLACE FUNCTION tollkeeper_keep_documents() RETURNS trigger LANGUAGE plpgsql "
    f"AS $$ BEGIN {_POSTGRESQL_REFUSAL}; END $$"
)


def _postgresql_function(table: str, is_kept: str, changes: str) -> str:
    refuse = _POSTGRESQL_REFUSAL
    deleted = _line_is_issued("OLD") if table == "invoice_lines" else is_kept
    return (
        f"CREATE OR REPLACE FUNCTION tollkeeper_keep_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' THEN IF {deleted} THEN {refuse}; END IF; RETURN OLD; END IF; "
        f"IF {is_kept} AND ({changes}) THEN {refuse}; END IF; RETURN NEW; END $$"
    )


def _postgresql_trigger(table: str, verbs: str) -> str:
    return (
        f"CREATE OR REPLACE TRIGGER {table}_keep BEFORE {verbs} ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION tollkeeper_keep_{table}()"
    )


def _postgresql_truncate_trigger(table: str) -> str:
    return (
        f"CREATE OR REPLACE TRIGGER {table}_keep_whole BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION tollkeeper_keep_documents()"
    )


def _create_triggers_with_the_tables() -> None:
    # InvoiceLine is created after Invoice, so both tables are there.
    for dialect in ("sqlite", "postgresql"):
        for statement in immutability_ddl(dialect):
            # DDL() formats with %, and none of the statements holds one; SQLAlchemy has no type for its constructor
            ddl: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(InvoiceLine.__table__, "after_create", ddl.execute_if(dialect=dialect))


_create_triggers_with_the_tables()
