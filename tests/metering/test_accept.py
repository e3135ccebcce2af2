"""Each event counts once: repeats, conflicts, two processes at once, times."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.metering.accept import Accepted, accept_events
from tollkeeper.metering.event import Event, decode_events
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.meters import get_meter
from tollkeeper.metering.tables import HourlyTotal, StoredEvent
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

NOW = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
EVER = Span(None, -(1 << 60), 1 << 60)
Make = Callable[..., Event]


def quantity(session: Session, meter: str) -> Decimal:
    groups = measure(session, Question(get_meter(session, meter)), [EVER])
    return groups[()].quantity() or Decimal(0) if groups else Decimal(0)


def test_a_repeated_batch_counts_once(session: Session, kong_event: Make) -> None:
    batch = [kong_event(number, number) for number in range(5)]
    assert accept_events(session, batch, now=NOW) == Accepted(5, 0, ())
    assert accept_events(session, batch, now=NOW) == Accepted(0, 5, ())
    assert quantity(session, "requests") == 5


def test_a_batch_of_old_and_new_events_stores_the_new(session: Session, kong_event: Make) -> None:
    accept_events(session, [kong_event(1), kong_event(3)], now=NOW)
    mixed = [kong_event(number) for number in (1, 2, 3, 4)]
    assert accept_events(session, mixed, now=NOW) == Accepted(2, 2, ())
    assert quantity(session, "requests") == 4


def test_an_event_twice_in_one_batch_counts_once(session: Session, kong_event: Make) -> None:
    assert accept_events(session, [kong_event(1), kong_event(2), kong_event(1)], now=NOW) == Accepted(2, 1, ())


@pytest.mark.parametrize("change", [{"status": 500}, {"bytes": {"response": 7}}, {"weather": "fair"}])
def test_a_repeat_with_other_content_is_a_conflict_and_changes_nothing(
    session: Session, kong_event: Make, change: dict[str, Any]
) -> None:
    accept_events(session, [kong_event(1, bytes={"response": 6})], now=NOW)
    answer = accept_events(session, [kong_event(1, **{"bytes": {"response": 6}, **change}), kong_event(2)], now=NOW)
    assert (answer.accepted, answer.duplicates) == (1, 0)
    assert [(one.index, one.error) for one in answer.rejected] == [
        (0, "/id: an event with this source and id is stored with another content")
    ]
    assert quantity(session, "response_bytes") == 6


@pytest.mark.parametrize("where", ["in the store", "in the batch"])
def test_two_captures_of_a_request_may_differ_in_latency(session: Session, kong_event: Make, where: str) -> None:
    first, second = (kong_event(1, latency_ms={"request": ms, "kong": 1}) for ms in (10, 11))
    if where == "in the batch":
        assert accept_events(session, [first, second], now=NOW) == Accepted(1, 1, ())
    else:
        accept_events(session, [first], now=NOW)
        assert accept_events(session, [second], now=NOW) == Accepted(0, 1, ())


def test_another_subject_or_type_is_another_content(session: Session, kong_event: Make) -> None:
    accept_events(session, [kong_event(1)], now=NOW)
    other = kong_event(1, subject="consumer:2")
    retyped = kong_event(1)
    retyped.type = "kong.other"
    for event in (other, retyped):
        assert len(accept_events(session, [event], now=NOW).rejected) == 1


def test_the_same_id_from_another_source_is_another_event(session: Session, kong_event: Make) -> None:
    other = kong_event(1)
    other.source = "kong/node-8"
    assert accept_events(session, [kong_event(1), other], now=NOW).accepted == 2


def test_the_same_id_at_another_time_in_one_request_is_refused(session: Session, kong_event: Make) -> None:
    answer = accept_events(session, [kong_event(1, 1), kong_event(1, 2)], now=NOW)
    assert answer.accepted == 1
    assert answer.rejected[0].error == "/time: an event with this source and id came in this request with another time"


def test_an_event_without_a_time_counts_once_however_late_its_repeat_comes(session: Session) -> None:
    event = Event(id="job 7", source="batch", type="job.done", data={"n": 1})
    assert accept_events(session, [event, event], now=NOW) == Accepted(1, 1, ())
    assert accept_events(session, [event], now=NOW + timedelta(days=400)) == Accepted(0, 1, ())
    changed = Event(id="job 7", source="batch", type="job.done", data={"n": 2})
    assert len(accept_events(session, [changed], now=NOW).rejected) == 1


def test_five_minutes_ahead_is_taken_and_more_is_refused(session: Session) -> None:
    ahead = [NOW + timedelta(minutes=5), NOW + timedelta(minutes=5, microseconds=1), datetime(1, 1, 1, tzinfo=UTC)]
    events = [Event(id=str(number), source="s", type="t", time=time) for number, time in enumerate(ahead)]
    answer = accept_events(session, events, now=NOW)
    assert answer.accepted == 1
    assert [one.error for one in answer.rejected] == [
        "/time: is more than 5 minutes in the future",
        "/time: is before the year 1",
    ]


def test_the_contract_s_events_are_stored_and_the_refused_one_is_not_a_request(session: Session) -> None:
    contract = json.loads((Path(__file__).parent.parent / "contract/usage-events.json").read_text())
    decoded, unreadable = decode_events(json.dumps([case["event"] for case in contract]).encode())
    now = datetime(2026, 11, 22, 7, 31, tzinfo=UTC)
    assert accept_events(session, [event for _, event in decoded], now=now) == Accepted(3, 0, ())
    assert unreadable == []
    counted = {
        meter: quantity(session, meter)
        for meter in (
            "requests",
            "refused_requests",
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "total_tokens",
            "response_bytes",
        )
    }
    # The refused one's 410 bytes are left out: 656 + 377.
    assert counted == {
        "requests": 2,
        "refused_requests": 1,
        "input_tokens": 101,
        "output_tokens": 37,
        "cached_tokens": 0,
        "total_tokens": 138,
        "response_bytes": 1033,
    }


def test_numbers_that_no_column_holds_are_summed_exactly(session: Session, kong_event: Make) -> None:
    values: list[Any] = [Decimal("0.1"), Decimal("0.2"), "1e20", 3, -1, 10**15]
    events = [
        kong_event(number, llm={"model": "m", "output_tokens": value}) for number, value in enumerate(values, start=1)
    ]
    assert accept_events(session, events, now=NOW).accepted == 6
    assert quantity(session, "output_tokens") == Decimal("100001000000000000002.3")


@pytest.mark.parametrize("value", [None, "many", True, "NaN", "Infinity", "1e999999", [1], {"a": 1}])
def test_a_value_that_is_no_finite_number_is_stored_and_not_counted(
    session: Session, kong_event: Make, value: Any
) -> None:
    events = [
        kong_event(1, llm={"model": "m", "output_tokens": value}),
        kong_event(2, llm={"model": "m", "output_tokens": 4}),
    ]
    assert accept_events(session, events, now=NOW).accepted == 2
    groups = measure(session, Question(get_meter(session, "output_tokens")), [EVER])
    assert (groups[()].quantity(), groups[()].event_count) == (4, 1)


def test_a_batch_that_is_rolled_back_leaves_no_number_behind(database: Database, kong_event: Make) -> None:
    class Crash(Exception):
        pass

    def crash() -> None:
        with database.transaction() as session:
            accept_events(session, [kong_event(1)], now=NOW)
            raise Crash

    with pytest.raises(Crash):
        crash()
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(StoredEvent)) == 0
        assert accept_events(session, [kong_event(1)], now=NOW).accepted == 1
    with database.snapshot() as session:
        assert quantity(session, "requests") == 1


def test_many_writers_of_one_batch_count_it_once(database_url: str, kong_event: Make) -> None:
    """Four connections bring the same events in different orders at the same time, each three times."""
    databases = [Database(open_engine(database_url)) for _ in range(4)]
    batch = [kong_event(number, number, subject=f"consumer:{number % 7}") for number in range(200)]
    barrier = threading.Barrier(len(databases))
    answers: list[Accepted] = []

    def write(place: int) -> None:
        barrier.wait()
        for turn in range(3):
            order = batch[:: -1 if (place + turn) % 2 else 1]
            with databases[place].transaction() as session:
                answers.append(accept_events(session, order, now=NOW))

    threads = [threading.Thread(target=write, args=(place,)) for place in range(len(databases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    assert sum(answer.accepted for answer in answers) == 200
    assert sum(answer.duplicates for answer in answers) == 11 * 200
    with databases[0].snapshot() as session:
        assert quantity(session, "requests") == 200
        assert session.scalar(select(func.sum(HourlyTotal.events))) == 200
    for database in databases:
        database.dispose()
