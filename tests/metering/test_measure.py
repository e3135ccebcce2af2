"""Meters make the same number of totals and of raw events, whatever the order and the cut."""

import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from tollkeeper.metering import measure as measuring
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event, microseconds_of
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.meters import MeterDraft, create_meter, get_meter
from tollkeeper.metering.query import query_meter
from tollkeeper.metering.totals import merge_totals
from tollkeeper.metering.touched import prune_batches, touched_subjects
from tollkeeper.metering.windows import WindowSize, windows_between, zone_of
from tollkeeper.storage.session import Database

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 31, tzinfo=UTC)
Make = Callable[..., Event]
BUILT_IN = ("requests", "refused_requests", "input_tokens", "total_tokens", "response_bytes")


def span(first_minute: float = 0, end_minute: float = 60 * 24 * 30, *subjects: str) -> Span:
    start, end = (microseconds_of(START + timedelta(minutes=minute)) for minute in (first_minute, end_minute))
    return Span(frozenset(subjects) or None, start, end)


def ask(session: Session, meter: str, *spans: Span, **further: Any) -> dict[Any, tuple[Decimal | None, int]]:
    question = Question(get_meter(session, meter), **further)
    groups = measure(session, question, spans or [span()])
    return {group: (part.quantity(), part.event_count) for group, part in groups.items()}


def test_a_period_is_half_open_to_the_microsecond(session: Session, kong_event: Make) -> None:
    accept_events(session, [kong_event(1, 90), kong_event(2, 150), kong_event(3, 200)], now=NOW)
    assert ask(session, "requests", span(90, 200)) == {(): (2, 2)}
    assert ask(session, "requests", span(90, 200 + 1 / 60_000_000)) == {(): (3, 3)}
    assert ask(session, "requests", span(91, 149)) == {}


def test_a_feature_s_filter_counts_successful_calls_of_a_route(session: Session, kong_event: Make) -> None:
    events = [
        kong_event(1, 10),
        kong_event(2, 70, status=404),
        kong_event(3, 80, route="bookings"),
        kong_event(4, 81, refused={"code": "quota_exhausted", "limit_id": "lim_1"}),
        kong_event(5, 130),
    ]
    accept_events(session, events, now=NOW)
    ok = {"status": {"gte": "200", "lt": "300"}, "route": {"in": ["flights"]}}
    assert ask(session, "requests", filter=ok) == {(): (2, 2)}
    assert ask(session, "refused_requests") == {(): (1, 1)}


def test_tokens_of_one_model_are_told_apart(session: Session, kong_event: Make) -> None:
    models = ["gpt-4o", "gpt-4o", "claude"]
    events = [
        kong_event(number, number, llm={"model": model, "input_tokens": 10, "output_tokens": number})
        for number, model in enumerate(models, start=1)
    ]
    accept_events(session, [*events, kong_event(9)], now=NOW)
    assert ask(session, "output_tokens", filter={"model": {"eq": "gpt-4o"}}) == {(): (3, 2)}
    assert ask(session, "total_tokens", group_by=("model",)) == {("claude",): (13, 1), ("gpt-4o",): (23, 2)}


def test_a_filter_on_what_sets_do_not_hold_reads_the_events(session: Session, kong_event: Make) -> None:
    events = [kong_event(number, number, bytes={"response": number * 100}) for number in range(1, 6)]
    accept_events(session, events, now=NOW)
    assert ask(session, "requests", filter={"bytes.response": {"gt": "200", "lte": "400"}}) == {(): (2, 2)}


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("sum", "6.7"),
        ("count", "4"),
        ("min", "0.1"),
        ("max", "3.5"),
        ("avg", "1.675"),
        ("latest", "0.1"),
        ("unique_count", "3"),
    ],
)
def test_each_aggregation_of_a_custom_meter(session: Session, aggregation: str, expected: str) -> None:
    """The latest by time is not the last to come; 0.1 came once as a number and once as a text."""
    values: list[tuple[int, Any]] = [(0, 3), (20, Decimal("0.1")), (10, Decimal("3.5")), (1, "0.1")]
    events = [
        Event(id=str(place), source="s", type="job", time=START + timedelta(hours=hour), data={"v": {"n": value}})
        for place, (hour, value) in enumerate(values)
    ]
    accept_events(session, events, now=NOW)
    draft = MeterDraft(key="m", name="m", event_type="job", aggregation=aggregation, value="v.n")
    create_meter(session, draft, now=NOW)
    assert ask(session, "m") == {(): (Decimal(expected), 4)}


def test_a_meter_on_any_event_is_grouped_by_its_own_dimensions(session: Session) -> None:
    events = [
        Event(id=str(number), source="s", type="job", subject=subject, time=START, data={"team": team, "n": number})
        for number, (subject, team) in enumerate([("a", "red"), ("b", "red"), ("a", "blue"), ("b", None)])
    ]
    accept_events(session, events, now=NOW)
    groups = {"team": "team", "who": "$subject"}
    draft = MeterDraft(key="m", name="m", event_type="job", aggregation="sum", value="n", group_by=groups)
    create_meter(session, draft, now=NOW)
    assert ask(session, "m", group_by=("team",)) == {("red",): (1, 2), ("blue",): (2, 1), (None,): (3, 1)}
    assert ask(session, "m", span(0, 60, "b"), group_by=("who",)) == {("b",): (4, 2)}


def test_windows_of_a_query_add_up_to_the_whole(session: Session, kong_event: Make) -> None:
    accept_events(session, [kong_event(number, number * 37) for number in range(200)], now=NOW)
    zone = zone_of("Asia/Kathmandu")
    windows = windows_between(START, START + timedelta(days=6), WindowSize.DAY, zone)
    rows = query_meter(session, Question(get_meter(session, "requests")), windows, [span()])
    # Day one ends at 18:15 UTC: events at minutes 0, 37 ... 1073.
    assert rows[0].quantity == 30
    assert sum(row.quantity or 0 for row in rows) == 200


class Shuffled:
    """Some events of several subjects, hours and shapes."""

    def __init__(self, kong_event: Make) -> None:
        odd: list[Any] = [5, 0, Decimal("2.5"), "7", -3, "many", None, 10**13]
        self.events = [
            kong_event(
                number,
                number * 13.7,
                subject=f"consumer:{number % 3}",
                status=200 if number % 4 else 500,
                bytes={"response": odd[number % 8]},
                **({"llm": {"model": "m", "input_tokens": odd[-number % 8], "output_tokens": 2}} if number % 3 else {}),
                **({"refused": {"code": "quota_exhausted"}} if number % 7 == 0 else {}),
            )
            for number in range(60)
        ]


def _numbers(session: Session, *spans: Span) -> dict[str, Any]:
    return {meter: ask(session, meter, *spans, group_by=("subject", "status")) for meter in BUILT_IN}


def _raw_numbers(session: Session, monkeypatch: pytest.MonkeyPatch, *spans: Span) -> dict[str, Any]:
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "totals_answer", lambda _question: False)
        return _numbers(session, *spans)


@pytest.mark.parametrize("cut", [(0, 43_200), (60, 600), (61.5, 601.25), (30, 45), (119.9, 120.1), (800, 900)])
def test_totals_and_raw_events_make_the_same_number(
    session: Session, kong_event: Make, monkeypatch: pytest.MonkeyPatch, cut: tuple[float, float]
) -> None:
    accept_events(session, Shuffled(kong_event).events, now=NOW)
    assert _numbers(session, span(*cut)) == _raw_numbers(session, monkeypatch, span(*cut))


def test_a_period_in_two_parts_adds_up_wherever_it_is_cut(session: Session, kong_event: Make) -> None:
    accept_events(session, Shuffled(kong_event).events, now=NOW)
    whole = _numbers(session, span(0, 900))
    for cut in (1, 59, 60, 60.5, 400, 899):
        assert _numbers(session, span(0, cut), span(cut, 900)) == whole


def test_folding_the_parts_of_totals_changes_no_number(session: Session, kong_event: Make) -> None:
    events = Shuffled(kong_event).events
    for start in range(0, 60, 10):
        accept_events(session, events[start : start + 10], now=NOW)
    before = _numbers(session)
    merge_totals(session)
    assert _numbers(session) == before
    accept_events(session, [kong_event(99, 3)], now=NOW)
    merge_totals(session)
    assert ask(session, "requests")[()][0] == 52  # 60 less 9 refused, and the one


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.lists(st.integers(1, 25), min_size=1, max_size=8))
def test_replay_order_and_partition_of_batches_change_no_total(
    database: Database, kong_event: Make, chance: random.Random, sizes: list[int]
) -> None:
    """Every event is sent three times, in random order, in batches of random size; some batches crash."""
    events = Shuffled(kong_event).events
    marker = f"kong/{chance.getrandbits(64):x}"
    sent = [
        Event(id=e.id, source=marker, type=e.type, subject=marker + str(e.subject), time=e.time, data=e.data)
        for e in events
    ] * 3
    chance.shuffle(sent)
    lengths = itertools.cycle(sizes)
    while sent:
        batch = [sent.pop() for _ in range(min(next(lengths), len(sent)))]
        if chance.random() < 0.3:
            _crash_after(database, batch)
        with database.transaction() as session:
            answer = accept_events(session, batch, now=NOW)
            assert answer.accepted + answer.duplicates == len(batch)
    with database.transaction() as session:
        mine = span(0, 43_200, *(f"{marker}consumer:{number}" for number in range(3)))
        found = {meter: ask(session, meter, mine)[()] for meter in BUILT_IN}
    # Worked out by hand from Shuffled: 9 of 60 are refused.
    assert (found["requests"], found["refused_requests"]) == ((51, 51), (9, 9))
    assert found == _expected(events)


class Crash(Exception):
    """What a process may meet between two lines."""


def _crash_after(database: Database, batch: list[Event]) -> None:
    with suppress(Crash), database.transaction() as session:
        accept_events(session, batch, now=NOW)
        raise Crash


def _expected(events: list[Event]) -> dict[str, tuple[Decimal, int]]:
    """Count in plain Python, from the events as they were made."""

    def total(values: list[Any]) -> tuple[Decimal, int]:
        numbers = [Decimal(value) for value in values if value not in (None, "many")]
        return sum(numbers, Decimal(0)), len(numbers)

    served = [event.data for event in events if "refused" not in event.data]
    inputs = [data["llm"]["input_tokens"] for data in served if "llm" in data]
    return {
        "requests": (Decimal(len(served)), len(served)),
        "refused_requests": (Decimal(60 - len(served)), 60 - len(served)),
        "input_tokens": total(inputs),
        "total_tokens": (total(inputs)[0] + 2 * len(inputs), len(inputs)),
        "response_bytes": total([data["bytes"]["response"] for data in served]),
    }


def test_only_touched_subjects_are_named(database: Database, kong_event: Make) -> None:
    with database.transaction() as session:
        accept_events(session, [kong_event(1), kong_event(2, subject="consumer:2")], now=NOW)
    with database.snapshot() as session:
        sequence, touched = touched_subjects(session, 0)
        assert touched == {"consumer:1", "consumer:2"}
    with database.transaction() as session:
        accept_events(session, [kong_event(2, subject="consumer:2"), kong_event(3, subject="consumer:3")], now=NOW)
    with database.snapshot() as session:
        sequence, touched = touched_subjects(session, sequence)
        assert touched == {"consumer:3"}
        assert touched_subjects(session, sequence) == (sequence, set())


def test_a_batch_that_commits_after_a_later_one_is_still_seen(postgresql: Database, kong_event: Make) -> None:
    """Two writers at once: SQLite has one."""
    with postgresql.transaction() as session:
        accept_events(session, [kong_event(9, subject="consumer:9")], now=NOW)
        first, _ = touched_subjects(session, 0)
    with postgresql.transaction() as early:
        accept_events(early, [kong_event(1)], now=NOW)
        with postgresql.transaction() as late:
            accept_events(late, [kong_event(2, subject="consumer:2")], now=NOW)
        with postgresql.snapshot() as session:
            sequence, touched = touched_subjects(session, first)
            assert "consumer:2" in touched
            assert "consumer:1" not in touched
    with postgresql.snapshot() as session:
        assert "consumer:1" in touched_subjects(session, sequence)[1]


def test_who_slept_longer_than_batches_are_kept_is_told_of_all_subjects(database: Database, kong_event: Make) -> None:
    with database.transaction() as session:
        accept_events(session, [kong_event(1)], now=NOW)
    with database.transaction() as session:
        accept_events(session, [kong_event(2, subject="consumer:2")], now=NOW + timedelta(days=2))
        assert prune_batches(session, now=NOW + timedelta(days=3)) == 1
    with database.snapshot() as session:
        assert touched_subjects(session, 1)[1] == {"consumer:1", "consumer:2"}
