"""Keep the ledger as it was written: triggers refuse every change, and PostgreSQL a transaction that is uneven.

They stand below every program that writes to the database, so that an UPDATE by hand fails as well. SQLite has
no check at the commit; there the sum to zero is kept by `post` (ledger.py) and looked after by books.py.
"""

from collections.abc import Iterator

from sqlalchemy import DDL, event
from sqlalchemy.schema import ExecutableDDLElement

from tollkeeper.credits.tables import CreditEntry, CreditGrant

# What becomes of a grant; everything else is what was granted.
LIVING_COLUMNS = frozenset({"remaining_minor", "voided_at", "next_act_at"})
FIXED_COLUMNS = tuple(column.name for column in CreditGrant.__table__.columns if column.name not in LIVING_COLUMNS)
LEDGER = ("credit_accounts", "credit_transactions", "credit_entries")
REFUSAL = "the ledger of credit never changes"
POSTGRESQL_REFUSAL = f"RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'"


def immutability_ddl(dialect: str) -> tuple[str, ...]:
    """Return the statements that create the triggers, for migrations and for fresh schemas."""
    return tuple(_postgresql_ddl() if dialect == "postgresql" else _sqlite_ddl())


def _sqlite_ddl() -> Iterator[str]:
    for table in LEDGER:
        yield _sqlite_trigger(table, "UPDATE")
        yield _sqlite_trigger(table, "DELETE")
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FIXED_COLUMNS)
    yield _sqlite_trigger("credit_grants", "UPDATE", f" WHEN {changed}")
    yield _sqlite_trigger("credit_grants", "DELETE")


def _sqlite_trigger(table: str, verb: str, when: str = "") -> str:
    return (
        f"CREATE TRIGGER {table}_keep_{verb.lower()} BEFORE {verb} ON {table}{when} "
        f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    )


def _postgresql_ddl() -> Iterator[str]:
    yield _postgresql_function("tollkeeper_keep_credit", f"{POSTGRESQL_REFUSAL};")
    for table in LEDGER:
        yield _postgresql_trigger(table, "UPDATE OR DELETE OR TRUNCATE", "STATEMENT", "tollkeeper_keep_credit")
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FIXED_COLUMNS)
    yield _postgresql_function("tollkeeper_keep_grant", f"IF {changed} THEN {POSTGRESQL_REFUSAL}; END IF; RETURN NEW;")
    yield _postgresql_trigger("credit_grants", "UPDATE", "ROW", "tollkeeper_keep_grant")
    yield _postgresql_trigger("credit_grants", "DELETE OR TRUNCATE", "STATEMENT", "tollkeeper_keep_credit", "_whole")
    uneven = "(SELECT sum(amount_minor) FROM credit_entries WHERE transaction_id = NEW.transaction_id) <> 0"
    refuse = "RAISE EXCEPTION 'the entries do not sum to zero' USING ERRCODE = 'integrity_constraint_violation'"
    yield _postgresql_function("tollkeeper_even_credit", f"IF {uneven} THEN {refuse}; END IF; RETURN NULL;")
    yield (
        "CREATE CONSTRAINT TRIGGER credit_entries_are_even AFTER INSERT ON credit_entries "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tollkeeper_even_credit()"
    )


def _postgresql_function(name: str, body: str) -> str:
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"


def _postgresql_trigger(table: str, verbs: str, each: str, function: str, suffix: str = "") -> str:
    return (
        f"CREATE OR REPLACE TRIGGER {table}_keep{suffix} BEFORE {verbs} ON {table} "
        f"FOR EACH {each} EXECUTE FUNCTION {function}()"
    )


def _create_triggers_with_the_tables() -> None:
    # CreditEntry is created after the tables that it refers to, so all of them are there.
    for dialect in ("sqlite", "postgresql"):
        for statement in immutability_ddl(dialect):
            # DDL() formats with %, and none of the statements holds one; SQLAlchemy has no type for its constructor
            ddl: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(CreditEntry.__table__, "after_create", ddl.execute_if(dialect=dialect))


_create_triggers_with_the_tables()
