"""Events of one month for the tests of metering."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import url_of_engine
from tests.metering.event_stores import EventStore
from tollkeeper.metering.event import Event
from tollkeeper.metering.event_days import make_event_days
from tollkeeper.metering.stores.archive import Archive, attach_archive
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

NOW = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def postgresql(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A fresh database on PostgreSQL, for what only it has: partitions, and two writers at once."""
    database = Database(open_engine(url_of_engine(request, "postgresql", tmp_path)))
    yield database
    database.dispose()


@pytest.fixture
def kong_event() -> Callable[..., Event]:
    """Make the kong.request with a number, some minutes after the beginning of March 2026."""

    def make(number: int, minutes: float = 0, subject: str = "consumer:1", **data: Any) -> Event:
        return Event(
            id=f"{number:032x}",
            source="kong/node-7",
            type="kong.request",
            subject=subject,
            time=START + timedelta(minutes=minutes),
            data={"route": "flights", "method": "GET", "status": 200, **data},
        )

    return make


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[Any]:
    """ClickHouse inside the test process, in memory; starting it takes seconds, so only where it is asked for."""
    client = import_module("clickhouse_connect").get_client(interface="chdb")
    yield client
    client.close()


@pytest.fixture
def archive(clickhouse: Any) -> Iterator[Archive]:
    """An empty archive."""
    name = f"t_{uuid4().hex}"
    yield import_module("tollkeeper.metering.stores.clickhouse").ClickHouseArchive(clickhouse, name)
    clickhouse.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture(params=["sqlite", "postgresql", "clickhouse beside sqlite", "clickhouse beside postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    """An empty event store, once per engine."""
    engine = open_engine(url_of_engine(request, request.param.split()[-1], tmp_path))
    archive = None
    if request.param.startswith("clickhouse"):
        archive = request.getfixturevalue("archive")
        attach_archive(engine, archive)
    database = Database(engine)
    # four of March's days are partitions on PostgreSQL, the others are not
    make_event_days(database, now=START)
    yield EventStore(database, archive)
    database.dispose()
