"""`tollkeeper events`: what an auditor runs."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from tollkeeper.app import create_schema
from tollkeeper.cli import main
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Run = Callable[..., Result]


@pytest.fixture
def books(tmp_path: Path) -> Database:
    """Two events of one day, and one of the day before that came late."""
    database = Database(open_engine(f"sqlite:///{tmp_path / 'tollkeeper.db'}"))
    create_schema(database)
    batch = [
        Event(
            id=f"e{number}",
            source="app",
            type="kong.request",
            subject="consumer:1",
            time=datetime(2026, 3, day, tzinfo=UTC),
            data={"route": "flights", "status": 200, "consumer": {"id": "1", "username": "alice"}, "credential": "k"},
        )
        for number, day in ((1, 2), (2, 2), (3, 1))
    ]
    with database.transaction() as session:
        assert accept_events(session, batch, now=datetime(2026, 3, 2, 12, tzinfo=UTC)).accepted == 3
    return database


@pytest.fixture
def run(books: Database, tmp_path: Path) -> Run:
    def run_command(*arguments: str) -> Result:
        environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'tollkeeper.db'}"}
        return CliRunner().invoke(main, ["events", *arguments], env=environment)

    return run_command


def test_verify_ends_well_and_tells_of_late_events(run: Run) -> None:
    result = run("verify")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "late       2026-03-01  grew by 1 events that arrived on 2026-03-02: in order",
        "3 events, 2 digests: no differences",
    ]


def test_verify_ends_with_1_for_a_lost_event(run: Run, books: Database) -> None:
    with books.transaction() as session:
        session.execute(text("DELETE FROM events WHERE id_text = 'e1'"))
    result = run("verify", "--json", "--from", "2026-03-02", "--to", "2026-03-03")
    assert result.exit_code == 1
    first, *_, summary = [json.loads(line) for line in result.output.splitlines()]
    assert (first["kind"], first["day"], first["subject"]) == ("total", "2026-03-02", "consumer:1")
    assert summary == {"events": 1, "digests": 1, "late": [], "differences": 2}
    assert run("verify", "--to", "2026-03-02").exit_code == 0
