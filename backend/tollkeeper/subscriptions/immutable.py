"""Keep price overrides unchanged: triggers below every program that writes to the database.

A charge names the override that it was rated by, so an override is replaced by a later one and never edited.
Migrations run `immutability_ddl` too, so that a migrated database refuses what a fresh one refuses.
"""

from sqlalchemy import DDL, FromClause, event
from sqlalchemy.schema import ExecutableDDLElement

FIXED_COLUMNS = (
    "id", "subscription_id", "plan_id", "phase_key", "rate_card_key", "rate_card",
    "is_added", "is_reset", "starts_at", "created_at",
)  # fmt: skip
MESSAGE = "a price override never changes"
TABLE = "subscription_overrides"


def keep_overrides(overrides: FromClause) -> None:
    """Create the triggers whenever the table is created."""
    for dialect in ("sqlite", "postgresql"):
        for statement in immutability_ddl(dialect):
            # DDL() formats with %, and none of the statements holds one; SQLAlchemy has no type for its constructor
            ddl: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(overrides, "after_create", ddl.execute_if(dialect=dialect))


def immutability_ddl(dialect: str) -> tuple[str, ...]:
    """Return the statements that create the triggers, for migrations and for fresh schemas."""
    if dialect == "postgresql":
        return _postgresql_ddl()
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FIXED_COLUMNS)
    return _sqlite_trigger("UPDATE", changed), _sqlite_trigger("DELETE", "1")


def _sqlite_trigger(verb: str, condition: str) -> str:
    return (
        f"CREATE TRIGGER {TABLE}_keep_{verb.lower()} BEFORE {verb} ON {TABLE} WHEN {condition} "
        f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
    )


def _postgresql_ddl() -> tuple[str, ...]:
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FIXED_COLUMNS)
    refuse = f"RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'"
    function = (
        f"CREATE OR REPLACE FUNCTION tollkeeper_keep_{TABLE}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' THEN {refuse}; END IF; IF {changed} THEN {refuse}; END IF; RETURN NEW; END $$"
    )
    trigger = (
        f"CREATE OR REPLACE TRIGGER {TABLE}_keep BEFORE UPDATE OR DELETE ON {TABLE} "
        f"FOR EACH ROW EXECUTE FUNCTION tollkeeper_keep_{TABLE}()"
    )
    return function, trigger
