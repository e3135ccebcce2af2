"""Many windows measured at once give what each gives alone, edges and odd values included."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event, microseconds_of
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.measure_windows import cut_spans, measure_windows
from tollkeeper.metering.meters import get_meter
from tollkeeper.metering.windows import Window

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = [Window(START + timedelta(days=day), START + timedelta(days=day + 1)) for day in range(4)]
Make = Callable[..., Event]


def span(first_minute: float, end_minute: float, *subjects: str) -> Span:
    start, end = (microseconds_of(START + timedelta(minutes=minute)) for minute in (first_minute, end_minute))
    return Span(frozenset(subjects) or None, start, end)


@pytest.fixture
def stored(session: Session, kong_event: Make) -> Session:
    """An event every 37 minutes for four days, every fifth with half a token."""
    events = [
        kong_event(
            number,
            minutes=37 * number,
            subject=f"consumer:{number % 3}",
            route=("flights", "chat")[number % 2],
            llm={"input_tokens": Decimal("0.5") if number % 5 == 0 else number},
        )
        for number in range(155)
    ]
    accept_events(session, events, now=START + timedelta(days=5))
    return session


@pytest.mark.parametrize("meter", ["requests", "input_tokens"])
@pytest.mark.parametrize(
    "spans",
    [
        [span(0, 5760)],
        [span(90, 4000)],
        [span(65, 70, "consumer:1")],
        [span(60, 120)],
        [span(10, 1500, "consumer:1"), span(1500, 5000, "consumer:2")],
        [span(-500, 9000)],
    ],
    ids=["whole", "cut", "within an hour", "one hour", "two subjects", "beyond"],
)
def test_windows_at_once_are_the_windows_one_by_one(stored: Session, meter: str, spans: list[Span]) -> None:
    question = Question(get_meter(stored, meter), group_by=("route",))
    at_once = measure_windows(stored, question, DAYS, spans)
    one_by_one = [measure(stored, question, cut_spans(spans, day)) for day in DAYS]
    assert [{group: (part.quantity(), part.event_count) for group, part in groups.items()} for groups in at_once] == [
        {group: (part.quantity(), part.event_count) for group, part in groups.items()} for groups in one_by_one
    ]


def test_a_day_is_counted_by_hand(stored: Session) -> None:
    # 1,440 minutes of the first day hold the events at 0, 37 ... 1,406: 39 of them
    first = measure_windows(stored, Question(get_meter(stored, "requests")), DAYS, [span(0, 5760)])[0]
    assert first[()].quantity() == 39


def test_windows_of_different_lengths_are_measured_too(stored: Session) -> None:
    windows = [
        Window(START, START + timedelta(hours=23)),
        Window(START + timedelta(hours=23), START + timedelta(days=2)),
    ]
    groups = measure_windows(stored, Question(get_meter(stored, "requests")), windows, [span(0, 5760)])
    # up to 1,380 minutes: 0 ... 1,369 (38 events); then 1,406 ... 2,849 (40)
    assert [found[()].quantity() for found in groups] == [38, 40]
