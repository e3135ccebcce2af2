"""Keep published plan versions unchanged: triggers below every program that writes to the database.

Migrations run `immutability_ddl` too, so that a migrated database refuses what a fresh one refuses.
"""

from sqlalchemy import DDL, FromClause, event
from sqlalchemy.schema import ExecutableDDLElement

FIXED_COLUMNS = ("id", "plan_id", "version", "spec", "created_at")
MESSAGE = "a published plan version never changes"


def keep_unchanged(plan_versions: FromClause) -> None:
    """Create the triggers whenever the table is created."""
    for dialect in ("sqlite", "postgresql"):
        for statement in immutability_ddl(dialect):
            # DDL() formats with %, and none of the statements holds one; SQLAlchemy has no type for its constructor
            ddl: ExecutableDDLElement = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(plan_versions, "after_create", ddl.execute_if(dialect=dialect))


def immutability_ddl(dialect: str) -> tuple[str, ...]:
    """Return the statements that create the triggers, for migrations and for fresh schemas."""
    return _postgresql_ddl() if dialect == "postgresql" else _sqlite_ddl()


def _sqlite_ddl() -> tuple[str, ...]:
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FIXED_COLUMNS)
    return (
        _sqlite_trigger("UPDATE", f"OLD.status <> 'draft' AND (NEW.status = 'draft' OR {changed})"),
        _sqlite_trigger("DELETE", "OLD.status <> 'draft'"),
    )


def _sqlite_trigger(verb: str, condition: str) -> str:
    return (
        f"CREATE TRIGGER plan_versions_keep_{verb.lower()} BEFORE {verb} ON plan_versions WHEN {condition} "
        f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
    )


def _postgresql_ddl() -> tuple[str, ...]:
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FIXED_COLUMNS)
    refuse = f"RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'"
    function = (
        "CREATE OR REPLACE FUNCTION tollkeeper_keep_plan_versions() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF OLD.status <> 'draft' THEN IF TG_OP = 'DELETE' THEN {refuse}; END IF; "
        f"IF NEW.status = 'draft' OR {changed} THEN {refuse}; END IF; END IF; "
        "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"
    )
    trigger = (
        "CREATE OR REPLACE TRIGGER plan_versions_keep BEFORE UPDATE OR DELETE ON plan_versions "
        "FOR EACH ROW EXECUTE FUNCTION tollkeeper_keep_plan_versions()"
    )
    return function, trigger
