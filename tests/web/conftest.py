"""An application on a fresh database, with one key per scope."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from tests.web import seeded
from tests.web.visitor import Visitor
from tollkeeper.access.keys import create_api_key
from tollkeeper.app import create_app, create_schema
from tollkeeper.clock import FixedClock
from tollkeeper.config import Settings
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database
from tollkeeper.web.admin.sign_in import failures_by_address, failures_by_name
from tollkeeper.web.auth import bearer_failures

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    """The application's time, moved by `clock.instant = ...`."""
    return FixedClock(NOW)


@pytest.fixture
def app(database: Database, clock: FixedClock, tmp_path: Path) -> Flask:
    """The application, once per engine."""
    bearer_failures.forget_all()
    return create_app(Settings(data_dir=tmp_path), database=database, clock=clock)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client without any key."""
    return app.test_client()


@pytest.fixture
def key_for(database: Database) -> Callable[..., dict[str, str]]:
    """Make a key with scopes and return the headers that carry it."""

    def make(*scopes: str) -> dict[str, str]:
        with database.transaction() as session:
            created = create_api_key(session, f"key for {scopes}", scopes, now=NOW)
        return {"Authorization": f"Bearer {created.token}"}

    return make


@pytest.fixture(scope="session")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seeded books as a SQLite file, to be copied by each test that changes them."""
    path = tmp_path_factory.mktemp("books") / "books.db"
    database = Database(open_engine(f"sqlite:///{path}"))
    create_schema(database)
    seeded.fill(database)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.dispose()
    return path


@pytest.fixture
def books_database(books: Path, tmp_path: Path) -> Iterator[Database]:
    """A copy of the seeded books."""
    path = tmp_path / "books.db"
    path.write_bytes(books.read_bytes())
    database = Database(open_engine(f"sqlite:///{path}"))
    yield database
    database.dispose()


@pytest.fixture
def admin_clock() -> FixedClock:
    """The time of the admin pages, moved by `admin_clock.instant = ...`."""
    return FixedClock(seeded.NOW)


@pytest.fixture
def admin_app(books_database: Database, admin_clock: FixedClock) -> Flask:
    """The application on the seeded books."""
    for limit in (failures_by_address, failures_by_name):
        limit.forget_all()
    return create_app(
        Settings(secret_key=SecretStr("a secret of the tests, long enough")), database=books_database, clock=admin_clock
    )


@pytest.fixture
def visitor(admin_app: Flask) -> Visitor:
    """Somebody with a browser who is not signed in."""
    return Visitor(admin_app.test_client())


@pytest.fixture
def ada(visitor: Visitor) -> Visitor:
    """The administrator, signed in."""
    answer = visitor.sign_in()
    assert answer.status_code == 302
    return visitor
