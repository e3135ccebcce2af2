"""Keep a coupon's terms as they were made: triggers refuse every change of them, whoever writes."""

from collections.abc import Iterator

from sqlalchemy import DDL, event
from sqlalchemy.schema import ExecutableDDLElement

from tollkeeper.coupons.tables import Coupon

# What becomes of a coupon; everything else is its terms.
LIVING_COLUMNS = frozenset({"redemptions", "archived_at"})
FIXED_COLUMNS = tuple(column.name for column in Coupon.__table__.columns if column.name not in LIVING_COLUMNS)
REFUSAL = "the terms of a coupon never change"


def immutability_ddl(dialect: str) -> tuple[str, ...]:
    """Return the statements that create the triggers, for migrations and for fresh schemas."""
    return tuple(_postgresql_ddl() if dialect == "postgresql" else _sqlite_ddl())


def _sqlite_ddl() -> Iterator[str]:
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FIXED_COLUMNS)
    for verb, when in (("UPDATE", f" WHEN {changed}"), ("DELETE", "")):
        yield (
            f"CREATE TRIGGER coupons_keep_{verb.lower()} BEFORE {verb} ON coupons{when} "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )


def _postgresql_ddl() -> Iterator[str]:
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FIXED_COLUMNS)
    refuse = f"RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'"
    yield (
        "CREATE OR REPLACE FUNCTION tollkeeper_keep_coupons() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' THEN {refuse}; END IF; IF {changed} THEN {refuse}; END IF; RETURN NEW; END $$"
    )
    yield (
        "CREATE OR REPLACE TRIGGER coupons_keep BEFORE UPDATE OR DELETE ON coupons "
        "FOR EACH ROW EXECUTE FUNCTION tollkeeper_keep_coupons()"
    )


def _create_triggers_with_the_table() -> None:
    for dialect in ("sqlite", "postgresql"):
        for statement in immutability_ddl(dialect):
            # SQLAlchemy has no type for its constructor
            ddl: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(Coupon.__table__, "after_create", ddl.execute_if(dialect=dialect))


_create_triggers_with_the_table()
