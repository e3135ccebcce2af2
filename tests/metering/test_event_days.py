"""Days are partitions on PostgreSQL: made before their events come, emptied at one go, and nobody sees half of one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as listening
from sqlalchemy import func, select, text

from tests.conftest import url_of_engine
from tollkeeper.errors import Unavailable
from tollkeeper.invoices.retention import drop_old_events
from tollkeeper.metering import event_days
from tollkeeper.metering.accept import Accepted, accept_events
from tollkeeper.metering.event import Event
from tollkeeper.metering.event_days import make_event_days
from tollkeeper.metering.findings import Verified
from tollkeeper.metering.keeping_tables import DroppedDay
from tollkeeper.metering.tables import StoredEvent
from tollkeeper.metering.verify import verify_events, whole_range
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MARCH_10 = (date(2026, 3, 10) - date(1970, 1, 1)).days
Make = Callable[..., Event]


def on(make: Make, number: int, day: str, **data: Any) -> Event:
    event = make(number, **data)
    event.time = datetime.fromisoformat(f"{day}T11:00:00+00:00")
    return event


def accept(database: Database, *events: Event) -> Accepted:
    with database.transaction() as session:
        return accept_events(session, events, now=NOW)


def partitions(database: Database) -> dict[str, int]:
    """Return the number of events by partition."""
    with database.snapshot() as session:
        names = sorted(session.scalars(text(event_days.PARTITIONS)))
        return {name: session.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in names}


def count(database: Database) -> int:
    with database.snapshot() as session:
        return session.scalar(select(func.count()).select_from(StoredEvent)) or 0


def drop(database: Database) -> list[date]:
    report = drop_old_events(database, keep_days=1, only_exported=False, now=NOW, grace=timedelta(hours=1))
    return [date(1970, 1, 1) + timedelta(days=day) for day in report.dropped]


def test_the_job_makes_today_and_three_days_ahead_and_once(postgresql: Database) -> None:
    assert make_event_days(postgresql, now=NOW) == 4
    assert make_event_days(postgresql, now=NOW) == 0
    assert list(partitions(postgresql)) == [*(f"events__202603{day}" for day in (10, 11, 12, 13)), "events__other"]


def test_an_event_lies_in_its_day_or_with_the_others_and_a_repeat_counts_once(
    postgresql: Database, kong_event: Make
) -> None:
    make_event_days(postgresql, now=NOW)
    events = [on(kong_event, 1, "2026-03-10"), on(kong_event, 2, "1969-12-31"), on(kong_event, 3, "0002-01-01")]
    assert accept(postgresql, *events) == Accepted(3, 0, ())
    assert accept(postgresql, *events) == Accepted(0, 3, ())
    found = {name: number for name, number in partitions(postgresql).items() if number}
    assert found == {"events__20260310": 1, "events__other": 2}


def test_a_repeat_with_another_content_is_refused_in_each_partition(postgresql: Database, kong_event: Make) -> None:
    make_event_days(postgresql, now=NOW)
    accept(postgresql, on(kong_event, 1, "2026-03-10"), on(kong_event, 2, "2026-03-01"))
    changed = [on(kong_event, 1, "2026-03-10", status=500), on(kong_event, 2, "2026-03-01", status=500)]
    answer = accept(postgresql, *changed)
    assert (answer.accepted, answer.duplicates) == (0, 0)
    assert [one.error for one in answer.rejected] == 2 * [
        "/id: an event with this source and id is stored with another content"
    ]


def test_a_day_that_has_events_elsewhere_gets_no_partition(postgresql: Database, kong_event: Make) -> None:
    accept(postgresql, on(kong_event, 1, "2026-03-10"))
    assert make_event_days(postgresql, now=NOW) == 3
    assert partitions(postgresql)["events__other"] == 1


def test_days_that_follow_a_busy_one_of_the_past_are_made(
    postgresql: Database, kong_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    two events make a day busy; seven days behind it are made, not beyond today
    """
    monkeypatch.setattr(event_days, "MANY", 1)
    monkeypatch.setattr(event_days, "AHEAD", 0)
    accept(
        postgresql, on(kong_event, 1, "2026-02-10"), on(kong_event, 2, "2026-02-10"), on(kong_event, 3, "2026-02-20")
    )
    assert make_event_days(postgresql, now=NOW) == 8
    accept(postgresql, on(kong_event, 4, "2026-02-17"), on(kong_event, 5, "2026-02-17"))
    assert make_event_days(postgresql, now=NOW) == 6
    empty = [name.partition("__")[2] for name, number in partitions(postgresql).items() if number == 0]
    assert empty == [*(f"202602{day}" for day in (11, 12, 13, 14, 15, 16, 18, 19, 21, 22, 23, 24)), "20260310"]


def test_coming_days_go_before_those_of_the_past_where_only_some_may_be_made(
    postgresql: Database, kong_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_days, "MANY", 1)
    monkeypatch.setattr(event_days, "AHEAD", 1)
    monkeypatch.setattr(event_days, "MOST_DAYS", 3)
    accept(postgresql, on(kong_event, 1, "2026-02-10"), on(kong_event, 2, "2026-02-10"))
    assert make_event_days(postgresql, now=NOW) == 3
    made = ["events__20260211", "events__20260310", "events__20260311"]
    assert list(partitions(postgresql)) == [*made, "events__other"]
    assert make_event_days(postgresql, now=NOW) == 0


def test_only_the_newest_days_of_the_default_partition_are_looked_at(
    postgresql: Database, kong_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may send events can put one into each day since the year 1."""
    monkeypatch.setattr(event_days, "MANY", 1)
    monkeypatch.setattr(event_days, "AHEAD", 0)
    monkeypatch.setattr(event_days, "MOST_OTHERS", 2)
    busy = [on(kong_event, number, day) for number, day in enumerate(("1970-01-01", "1970-01-01", "2026-02-10"))]
    accept(postgresql, *busy, on(kong_event, 4, "2026-02-10"), on(kong_event, 5, "2026-02-12"))
    assert make_event_days(postgresql, now=NOW) == 7
    made = [f"events__202602{day}" for day in (11, 13, 14, 15, 16, 17)]
    assert list(partitions(postgresql)) == [*made, "events__20260310", "events__other"]


def test_an_event_that_waited_while_its_day_was_made_is_sent_again(postgresql: Database, kong_event: Make) -> None:
    """Its place was chosen before the partition was there; the answer is 503, and the repeat finds the new place."""
    event = on(kong_event, 1, "2026-03-10")
    with ThreadPoolExecutor(1) as pool:
        with postgresql.transaction() as session:
            event_days._make_day(session, MARCH_10)
            waiting = pool.submit(accept, postgresql, event)
            while not session.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")):
                assert not waiting.done()
        with pytest.raises(Unavailable, match="partition"):
            waiting.result()
    assert accept(postgresql, event) == Accepted(1, 0, ())
    assert partitions(postgresql) == {"events__20260310": 1, "events__other": 0}


def test_a_dropped_day_is_emptied_at_one_go_and_its_partition_taken_away(
    postgresql: Database, kong_event: Make
) -> None:
    make_event_days(postgresql, now=datetime(2026, 2, 1, tzinfo=UTC))
    make_event_days(postgresql, now=NOW)
    accept(
        postgresql, on(kong_event, 1, "2026-02-01"), on(kong_event, 2, "2026-02-02"), on(kong_event, 3, "2026-03-10")
    )
    statements = heard(postgresql)
    assert drop(postgresql) == [date(2026, 2, 1), date(2026, 2, 2)]
    assert [one for one in statements if one.startswith("TRUNCATE")] == [
        "TRUNCATE events__20260201",
        "TRUNCATE events__20260202",
    ]
    assert not [one for one in statements if one.startswith("DELETE FROM events")]
    assert make_event_days(postgresql, now=NOW) == 2
    assert "events__20260201" not in partitions(postgresql)
    with postgresql.snapshot() as session:
        assert session.scalars(select(DroppedDay.events)).all() == [1, 1]
        assert list(verify_events(session, whole_range(session), Verified(), lambda _: None)) == []


def test_who_reads_by_an_older_view_still_finds_every_event_of_a_dropped_day(
    postgresql: Database, kong_event: Make
) -> None:
    make_event_days(postgresql, now=datetime(2026, 2, 1, tzinfo=UTC))
    accept(postgresql, on(kong_event, 1, "2026-02-01"))
    with postgresql.snapshot() as session:
        session.execute(text("SELECT 1"))
        assert drop(postgresql) == [date(2026, 2, 1)]
        make_event_days(postgresql, now=NOW)
        assert session.scalar(select(func.count()).select_from(StoredEvent)) == 1
    assert count(postgresql) == 0


def test_an_emptied_day_stays_while_somebody_reads_and_goes_when_he_is_done(
    postgresql: Database, kong_event: Make
) -> None:
    """Its removal needs the whole table, and every insert would wait behind it."""
    make_event_days(postgresql, now=datetime(2026, 2, 1, tzinfo=UTC))
    make_event_days(postgresql, now=NOW)
    accept(postgresql, on(kong_event, 1, "2026-02-01"))
    assert drop(postgresql) == [date(2026, 2, 1)]
    with postgresql.transaction() as session:
        session.execute(select(func.count()).select_from(StoredEvent))
        assert make_event_days(postgresql, now=NOW) == 0
        assert "events__20260201" in partitions(postgresql)
    assert make_event_days(postgresql, now=NOW) == 1
    assert "events__20260201" not in partitions(postgresql)


def test_a_day_waits_for_nobody_longer_than_a_second(postgresql: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_days, "LOCK_TIMEOUT", "20ms")
    with postgresql.transaction() as session:
        session.execute(text("LOCK TABLE events__other IN ACCESS SHARE MODE"))
        with pytest.raises(Unavailable):
            make_event_days(postgresql, now=NOW)
    assert list(partitions(postgresql)) == ["events__other"]
    assert make_event_days(postgresql, now=NOW) == 4


def test_sqlite_has_no_partitions(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    database = Database(open_engine(url_of_engine(request, "sqlite", tmp_path)))
    assert make_event_days(database, now=NOW) == 0
    database.dispose()


def heard(database: Database) -> list[str]:
    """Return a list that fills with the statements from now on."""
    statements: list[str] = []
    listening.listen(
        database.engine, "before_cursor_execute", lambda _c, _cur, statement, *_: statements.append(statement.strip())
    )
    return statements
