"""Bring a database to the newest schema: one process at a time, and never behind a lock for long."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

MIGRATIONS = Path(__file__).parent / "migrations"

# A migration that waits for a lock makes everybody else wait behind it: give up early, try again later.
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "15min"
ADVISORY_LOCK = 0x746F6C6C  # "toll": any constant that nothing else in this database uses


def upgrade_schema(engine: Engine) -> None:
    """Run the migrations that this database has not seen, in one transaction; repeat is harmless."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        command.upgrade(alembic_config(connection), "head")


def schema_is_current(engine: Engine) -> bool:
    """Say whether the database is at the newest revision of this program."""
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_heads()
    return set(current) == set(ScriptDirectory(str(MIGRATIONS)).get_heads())


def is_no_partition(name: str | None, kind: str, _parents: object) -> bool:
    """Say whether the models know a name: partitions (`events__20261125`) come and go by jobs."""
    return kind != "table" or name is None or "__" not in name


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration for this connection; there is no alembic.ini to keep in step."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
