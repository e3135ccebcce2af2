"""The migrations make what the models say, once, whoever runs them and however often."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from tollkeeper.app import create_schema
from tollkeeper.storage.base import Base
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.migrate import is_no_partition, schema_is_current, upgrade_schema
from tollkeeper.storage.session import Database

TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        server: str = request.getfixturevalue("postgres_server")
        name = f"empty_{uuid4().hex}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        url = server.replace("/postgres?", f"/{name}?")
    database = Database(open_engine(url))
    yield database
    database.dispose()


def test_the_migrated_schema_is_what_the_models_say(empty_database: Database) -> None:
    create_schema(empty_database)
    with empty_database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": is_no_partition})
        assert compare_metadata(context, Base.metadata) == []


def test_the_migrated_schema_keeps_issued_documents_and_published_plans(empty_database: Database) -> None:
    create_schema(empty_database)
    with empty_database.engine.connect() as connection:
        triggers = connection.scalars(text(TRIGGERS[connection.dialect.name])).all()
    tables = {name.partition("_keep")[0] for name in triggers}
    assert tables >= {"invoices", "invoice_lines", "plan_versions"}


def test_several_processes_may_migrate_at_once_and_again(empty_database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: create_schema(empty_database), range(4)))
    create_schema(empty_database)
    assert schema_is_current(empty_database.engine)
    with empty_database.snapshot() as session:
        assert session.scalar(text("SELECT count(*) FROM meters WHERE is_built_in = 1")) == 7


def test_a_failed_migration_leaves_nothing_behind(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "versions"
    broken.mkdir()
    (tmp_path / "env.py").write_text((_migrations() / "env.py").read_text())
    (broken / "0001_broken.py").write_text(
        "from alembic import op\nrevision = '0001'\ndown_revision = None\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (id int)')\n    op.execute('CREATE TABLE half (id int)')\n"
    )
    monkeypatch.setattr("tollkeeper.storage.migrate.MIGRATIONS", tmp_path)
    with pytest.raises(Exception, match="half"):
        upgrade_schema(empty_database.engine)
    with empty_database.engine.connect() as connection:
        tables = connection.dialect.get_table_names(connection)
    assert "half" not in tables


def _migrations() -> Path:
    return Path(upgrade_schema.__code__.co_filename).parent / "migrations"
