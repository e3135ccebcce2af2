"""A meter is previewed on the latest events of its type: how many count, and which fields did not fit, how often."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from tests.metering.event_stores import EventStore
from tollkeeper.errors import InvalidInput
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event
from tollkeeper.metering.latest_events import latest_events
from tollkeeper.metering.meters import MeterDraft
from tollkeeper.metering.preview import preview_meter
from tollkeeper.metering.tables import Meter
from tollkeeper.storage.session import Database

START, NOW = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
Make = Callable[..., Event]


def job(number: int, minutes: float, **fields: object) -> Event:
    return Event(
        id=f"job {number}", source="batch", type="job.done", time=START + timedelta(minutes=minutes), data=fields
    )


def store_events(database: Database, events: list[Event]) -> None:
    with database.transaction() as session:
        accept_events(session, events, now=NOW)


def test_of_the_last_hundred_events_87_match(database: Database) -> None:
    """
    20 old jobs of cost 1000 are not among the last hundred
    then 87 jobs of cost 0.5 and state ok, 9 that failed, 4 that are ok and whose cost is no number;
    3 of the 87 have no queue
    """
    jobs = [job(number, number, cost=1000, state="ok") for number in range(20)]
    jobs += [
        job(100 + number, 1000 + number, cost=Decimal("0.5"), state="ok", **({"queue": "mail"} if number > 2 else {}))
        for number in range(87)
    ]
    jobs += [job(200 + number, 2000 + number, cost=7, state="failed", queue="mail") for number in range(9)]
    jobs += [job(300 + number, 3000 + number, cost="dear", state="ok", queue="mail") for number in range(4)]
    store_events(database, jobs)
    draft = MeterDraft(
        key="job_cost",
        name="Cost",
        event_type="job.done",
        aggregation="sum",
        value="cost",
        group_by={"queue": "queue"},
        filter={"state": {"eq": "ok"}},
    )
    with database.snapshot() as session:
        preview = preview_meter(session, draft, now=NOW)
        assert session.scalar(select(func.count()).where(Meter.key == "job_cost")) == 0
    assert (preview.examined, preview.matched, preview.value) == (100, 87, Decimal("43.5"))
    assert preview.first == START + timedelta(minutes=1000)
    assert preview.last == START + timedelta(minutes=3003)
    assert [(*misfit, events) for misfit, events in preview.misfits] == [
        ("/filter/state", "state", "is another value", "left_out", 9),
        ("/value", "cost", "is no number", "left_out", 4),
        ("/group_by/queue", "queue", "is missing", "counted_without", 3),
    ]


def test_a_value_of_two_paths_counts_without_the_one_that_is_missing(database: Database, kong_event: Make) -> None:
    calls = [
        kong_event(1, 1, llm={"model": "m", "input_tokens": 3, "output_tokens": 4}),
        kong_event(2, 2, llm={"model": "m", "input_tokens": 5}),
        kong_event(3, 3),
    ]
    store_events(database, calls)
    draft = MeterDraft(
        key="tokens",
        name="Tokens",
        event_type="kong.request",
        aggregation="sum",
        value="llm.input_tokens + llm.output_tokens",
    )
    with database.snapshot() as session:
        preview = preview_meter(session, draft, now=NOW)
    assert (preview.examined, preview.matched, preview.value) == (3, 2, Decimal(12))
    assert [(misfit.path, misfit.effect.value, events) for misfit, events in preview.misfits] == [
        ("llm.input_tokens", "left_out", 1),
        ("llm.output_tokens", "left_out", 1),
        ("llm.output_tokens", "counted_without", 1),
    ]


def test_a_type_without_events_has_nothing_to_show(database: Database) -> None:
    draft = MeterDraft(key="most", name="Most", event_type="job.done", aggregation="max", value="cost")
    with database.snapshot() as session:
        preview = preview_meter(session, draft, now=NOW)
    assert (preview.examined, preview.matched, preview.value, preview.misfits) == (0, 0, None, [])
    assert preview.first is preview.last is None


def test_a_wrong_definition_is_refused_as_at_its_making(database: Database) -> None:
    draft = MeterDraft(key="most", name="Most", event_type="job.done", aggregation="max")
    with database.snapshot() as session, pytest.raises(InvalidInput, match="/value is missing"):
        preview_meter(session, draft, now=NOW)


@pytest.mark.parametrize("limit", [1, 7, 50, 100])
def test_the_latest_events_are_the_last_of_all(store: EventStore, kong_event: Make, limit: int) -> None:
    """Crowds at one instant and in one minute, hours of silence, and another type that came later."""
    minutes = [0.0] * 5 + [0.5 + number / 100 for number in range(40)] + [59.999] + [600.0] * 8 + [601, 5000]
    events = [kong_event(number, at, status=200 + number % 3) for number, at in enumerate(minutes)]
    store.accept(*events, job(1, 9000, n=1))
    with store.database.snapshot() as session:
        found = [int(event.id_key.hex(), 16) for event in latest_events(session, "kong.request", limit)]
    assert found == list(range(len(minutes)))[-limit:]
