"""`tollkeeper events`: what an auditor runs."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from tollkeeper.app import create_schema
from tollkeeper.cli import main
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event, decode_events
from tollkeeper.metering.listing import EventFilter, list_events
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Run = Callable[..., Result]
BOOKS = "the URL of the books"


@pytest.fixture
def books(tmp_path: Path) -> Database:
    """Two events of one day, and one of the day before that came late."""
    database = Database(open_engine(f"sqlite:///{tmp_path / 'books.db'}"))
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
        environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'books.db'}"}
        named = [environment["DATABASE_URL"] if one == BOOKS else one for one in arguments]
        return CliRunner().invoke(main, ["events", *named], env=environment)

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
    assert summary == {"events": 1, "digests": 1, "late": [], "differences": 2, "dropped": {"days": 0, "events": 0}}
    assert run("verify", "--to", "2026-03-02").exit_code == 0


def test_an_export_holds_the_events_as_they_came_and_is_the_same_each_time(run: Run, tmp_path: Path) -> None:
    results = [run("export", str(tmp_path / name)) for name in ("one.jsonl.gz", "two.jsonl.gz")]
    assert [result.exit_code for result in results] == [0, 0]
    assert results[0].output.startswith("3 events in ")
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()
    lines = gzip.decompress((tmp_path / "one.jsonl.gz").read_bytes()).splitlines()
    assert json.loads(lines[0]) == {
        "specversion": "1.0",
        "id": "e3",
        "source": "app",
        "type": "kong.request",
        "subject": "consumer:1",
        "time": "2026-03-01T00:00:00Z",
        "data": {"route": "flights", "status": 200, "consumer": {"id": "1", "username": "alice"}, "credential": "k"},
    }
    assert {json.loads(line)["id"] for line in lines[1:]} == {"e1", "e2"}


def test_an_exported_event_that_is_sent_again_is_a_repeat(run: Run, books: Database, tmp_path: Path) -> None:
    run("export", str(tmp_path / "all.jsonl.gz"), "--from", "2026-03-02")
    lines = gzip.decompress((tmp_path / "all.jsonl.gz").read_bytes()).splitlines()
    events, _ = decode_events(b"[" + b",".join(lines) + b"]")
    with books.transaction() as session:
        answer = accept_events(session, [event for _, event in events], now=NOW.replace(day=3))
    assert (answer.accepted, answer.duplicates, answer.rejected) == (0, 2, ())


def test_copy_brings_every_event_to_another_database_once(run: Run, database_url: str) -> None:
    first = run("copy", "--from", BOOKS, "--to", database_url)
    assert (first.exit_code, first.output) == (0, "3 events copied; 2 days are the same, 0 were before\n")
    again = run("copy", "--from", BOOKS, "--to", database_url)
    assert again.output == "0 events copied; 2 days are the same, 2 were before\n"
    verified = CliRunner().invoke(main, ["events", "verify"], env={"DATABASE_URL": database_url})
    assert verified.output.splitlines()[-1] == "3 events, 2 digests: no differences"


def test_copy_goes_on_where_it_was_killed(run: Run, books: Database, database_url: str) -> None:
    half = Database(open_engine(database_url))
    with books.snapshot() as session, half.transaction() as writing:
        known = list_events(session, EventFilter())[1]
        event = Event(
            id=known.id, source=known.source, type=known.type, subject=known.subject, time=known.time, data=known.data
        )
        assert accept_events(writing, [event], now=NOW + timedelta(days=1)).accepted == 1
    half.dispose()
    result = run("copy", "--from", BOOKS, "--to", database_url)
    assert result.output == "2 events copied; 2 days are the same, 0 were before\n"


def test_copy_refuses_a_source_whose_event_was_changed(run: Run, books: Database, database_url: str) -> None:
    with books.transaction() as session:
        session.execute(text("UPDATE events SET time_us = time_us + 1 WHERE id_text = 'e2'"))
    result = run("copy", "--from", BOOKS, "--to", database_url)
    assert result.exit_code == 1
    assert "2026-03-02, consumer:1: the source's digest is of 2 events, the copy holds 2" in result.output


def test_copy_refuses_a_target_that_holds_another_event(run: Run, database_url: str) -> None:
    other = Database(open_engine(database_url))
    with other.transaction() as session:
        stranger = Event(
            id="x", source="app", type="t", subject="consumer:1", time=datetime(2026, 3, 2, 9, tzinfo=UTC), data=1
        )
        assert accept_events(session, [stranger], now=NOW + timedelta(days=1)).accepted == 1
    other.dispose()
    result = run("copy", "--from", BOOKS, "--to", database_url)
    assert (result.exit_code, "the copy holds 3" in result.output) == (1, True)


def test_a_copy_knows_the_repeats_of_events_without_a_time(run: Run, books: Database, database_url: str) -> None:
    untimed = Event(id="u", source="cron", type="t", subject="s", data=1)
    with books.transaction() as session:
        accept_events(session, [untimed], now=NOW)
    assert run("copy", "--from", BOOKS, "--to", database_url).exit_code == 0
    copy = Database(open_engine(database_url))
    with copy.transaction() as session:
        assert accept_events(session, [untimed], now=NOW + timedelta(hours=5)).duplicates == 1
    copy.dispose()
