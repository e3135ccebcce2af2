"""An application on a fresh database, with one key per scope."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tollkeeper.access.keys import create_api_key
from tollkeeper.app import create_app
from tollkeeper.clock import FixedClock
from tollkeeper.config import Settings
from tollkeeper.storage.session import Database
from tollkeeper.web.auth import bearer_failures

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    """The application's time, moved by `clock.instant = ...`."""
    return FixedClock(NOW)


@pytest.fixture
def app(database: Database, clock: FixedClock, tmp_path: Path) -> Flask:
    """The application, once per engine."""
    bearer_failures.forget("127.0.0.1")
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
