"""What every event store must do, whichever engine it is on."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import delete

from tests.metering.event_stores import NOW, EventStore
from tollkeeper.metering.accept import Accepted, accept_events
from tollkeeper.metering.event import Event, instant_of
from tollkeeper.metering.findings import Range
from tollkeeper.metering.listing import EventFilter, EventPlace, list_events, list_invalid_events
from tollkeeper.metering.measure import Question, Span
from tollkeeper.metering.meters import MeterDraft, create_meter, get_meter
from tollkeeper.metering.query import query_meter
from tollkeeper.metering.rows import key_of_id
from tollkeeper.metering.stores.merged import first_and_last_us
from tollkeeper.metering.tables import StoredEvent
from tollkeeper.metering.verify import whole_range
from tollkeeper.metering.windows import Window, WindowSize, windows_between, zone_of

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
MARCH = [Window(START, END)]
EVER = Span(None, -(1 << 60), 1 << 60)
Make = Callable[..., Event]


def ask(
    store: EventStore,
    question: Question,
    windows: Sequence[Window] = MARCH,
    span: Span = EVER,
) -> list[tuple[tuple[str | None, ...], Decimal | None]]:
    with store.database.snapshot() as session:
        return [(row.group, row.quantity) for row in query_meter(session, question, windows, [span])]


def meter_of(store: EventStore, aggregation: str, value: str | None = "n", **more: Any) -> Question:
    draft = MeterDraft(
        key=aggregation, name=aggregation, event_type="sample", aggregation=aggregation, value=value, **more
    )
    with store.database.transaction() as session:
        return Question(create_meter(session, draft, now=NOW))


def built_in(store: EventStore, key: str, **more: Any) -> Question:
    with store.database.snapshot() as session:
        return Question(get_meter(session, key), **more)


def sample(number: int, data: Any, minutes: float = 0, subject: str = "s") -> Event:
    time = START + timedelta(minutes=minutes)
    return Event(id=f"sample {number}", source="sensor", type="sample", subject=subject, time=time, data=data)


def test_a_repeated_batch_counts_once(store: EventStore, kong_event: Make) -> None:
    batch = [kong_event(number, number) for number in range(250)]
    assert store.accept(*batch) == Accepted(250, 0, ())
    assert store.accept(*batch) == Accepted(0, 250, ())
    assert store.accept(*batch[100:], kong_event(999)) == Accepted(1, 150, ())
    assert ask(store, built_in(store, "requests")) == [((), Decimal(251))]


def test_a_repeat_with_other_content_is_refused_and_counts_nothing(store: EventStore, kong_event: Make) -> None:
    store.accept(kong_event(1, bytes={"response": 6}))
    changed = [kong_event(1, bytes={"response": 7}), kong_event(1, status=500, bytes={"response": 6})]
    for event in changed:
        answer = store.accept(event)
        assert (answer.accepted, answer.duplicates, len(answer.rejected)) == (0, 0, 1)
    assert ask(store, built_in(store, "response_bytes")) == [((), Decimal(6))]


def test_two_captures_of_a_request_may_differ_in_latency(store: EventStore, kong_event: Make) -> None:
    store.accept(kong_event(1, latency_ms={"request": 10}))
    assert store.accept(kong_event(1, latency_ms={"request": 11})) == Accepted(0, 1, ())


def test_an_id_is_unique_within_its_source(store: EventStore, kong_event: Make) -> None:
    other = kong_event(1)
    other.source = "kong/node-8"
    assert store.accept(kong_event(1), other).accepted == 2


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_an_id_that_is_the_hash_of_another_is_refused_and_not_counted(store: EventStore, is_one_batch: bool) -> None:
    named = Event(id="a", source="s", type="t", subject="s", time=NOW, data=1)
    hashed = Event(id=key_of_id("a")[0].hex(), source="s", type="t", subject="s", time=NOW, data=1)
    if is_one_batch:
        answer = store.accept(named, hashed)
    else:
        store.accept(named)
        answer = store.accept(hashed)
    assert (answer.accepted, answer.duplicates, len(answer.rejected)) == (int(is_one_batch), 0, 1)
    done, found = store.verify()
    assert (done.events, found) == (1, [])


def test_an_event_without_a_time_is_known_again(store: EventStore) -> None:
    event = Event(id="1", source="cron", type="sample", subject="s", data={"n": 1})
    assert store.accept(event, now=START).accepted == 1
    assert store.accept(event, now=START + timedelta(hours=3)) == Accepted(0, 1, ())


def test_decimals_are_exact(store: EventStore) -> None:
    question = meter_of(store, "sum")
    numbers = ["0.1", "0.2", "123456789012345678901234567890.000000000000000001", "-0.3"]
    store.accept(*(sample(place, {"n": Decimal(number)}) for place, number in enumerate(numbers)))
    assert ask(store, question) == [((), Decimal("123456789012345678901234567890.000000000000000001"))]


def test_odd_token_counts_are_exact(store: EventStore, kong_event: Make) -> None:
    store.accept(kong_event(1, llm={"input_tokens": 10}), kong_event(2, llm={"input_tokens": Decimal("0.25")}))
    assert ask(store, built_in(store, "input_tokens")) == [((), Decimal("10.25"))]


@pytest.mark.parametrize(
    ("aggregation", "quantity"),
    [("sum", 18), ("count", 5), ("min", 1), ("max", 7), ("avg", Decimal("3.6")), ("unique_count", 4), ("latest", 2)],
)
def test_every_aggregation(store: EventStore, aggregation: str, quantity: int | Decimal) -> None:
    question = meter_of(store, aggregation, None if aggregation == "count" else "n")
    # The latest by time comes first.
    store.accept(sample(5, {"n": 2}, 9), sample(1, {"n": 4}, 1))
    store.accept(sample(2, {"n": 7}, 2), sample(3, {"n": 1}, 3), sample(4, {"n": 4}, 4))
    assert ask(store, question) == [((), Decimal(quantity))]


def test_nothing_is_zero_for_sums_and_no_number_for_the_rest(store: EventStore) -> None:
    assert [ask(store, meter_of(store, name)) for name in ("sum", "unique_count", "max")] == [
        [((), Decimal(0))],
        [((), Decimal(0))],
        [((), None)],
    ]


def test_filters_and_groups(store: EventStore, kong_event: Make) -> None:
    statuses = [("flights", 200), ("flights", 404), ("hotels", 200), ("hotels", 201), (None, 500)]
    store.accept(*(kong_event(n, n, route=route, status=status) for n, (route, status) in enumerate(statuses)))
    question = built_in(store, "requests", filter={"status": {"gte": "200", "lt": "300"}}, group_by=("route",))
    assert ask(store, question) == [(("flights",), Decimal(1)), (("hotels",), Decimal(2))]


def test_filters_on_what_no_dimension_holds(store: EventStore) -> None:
    question = meter_of(store, "count", None, filter={"kind": {"in": ["a", "b"]}}, group_by={"kind": "kind"})
    store.accept(*(sample(n, {"kind": kind}) for n, kind in enumerate(["a", "b", "b", "c", None])))
    grouped = Question(question.meter, group_by=("kind",))
    assert ask(store, grouped) == [(("a",), Decimal(1)), (("b",), Decimal(2))]


def test_days_of_a_time_zone_over_its_change_of_clocks(store: EventStore, kong_event: Make) -> None:
    # Berlin's 29 March 2026 has 23 hours: 28 March 23:00 to 29 March 22:00 in UTC.
    first = (datetime(2026, 3, 28, 23, tzinfo=UTC) - START) / timedelta(minutes=1)
    minutes = [first - 1, first, first + 23 * 60 - 1, first + 23 * 60]
    store.accept(*(kong_event(number, minute) for number, minute in enumerate(minutes)))
    berlin = zone_of("Europe/Berlin")
    days = windows_between(
        datetime(2026, 3, 28, tzinfo=berlin), datetime(2026, 3, 31, tzinfo=berlin), WindowSize.DAY, berlin
    )
    assert [quantity for _, quantity in ask(store, built_in(store, "requests"), days)] == [1, 2, 1]


def test_minutes_and_cut_windows(store: EventStore, kong_event: Make) -> None:
    store.accept(*(kong_event(number, minutes) for number, minutes in enumerate([0.5, 1.5, 1.75, 59.99, 60])))
    minutes = windows_between(START, START + timedelta(minutes=3), WindowSize.MINUTE, zone_of("UTC"))
    assert [quantity for _, quantity in ask(store, built_in(store, "requests"), minutes)] == [1, 2, 0]
    cut = [Window(START + timedelta(minutes=1), START + timedelta(minutes=60))]
    assert ask(store, built_in(store, "requests"), cut) == [((), Decimal(3))]


def test_late_events_count_where_their_time_is_and_are_told_of(store: EventStore, kong_event: Make) -> None:
    store.accept(kong_event(1, 5), now=START + timedelta(hours=1))
    store.accept(kong_event(2, 4), now=START + timedelta(days=3))
    assert ask(store, built_in(store, "requests")) == [((), Decimal(2))]
    done, found = store.verify()
    day = (START - datetime(1970, 1, 1, tzinfo=UTC)).days
    assert (done.events, done.late, found) == (2, {(day, day + 3): 1}, [])


def test_events_belong_to_those_of_the_span(store: EventStore, kong_event: Make) -> None:
    batch = [kong_event(n, n, subject=f"consumer:{n % 3}") for n in range(90)]
    store.accept(*batch)
    hour = 60_000_000 * 30
    start_us = round(START.timestamp()) * 1_000_000
    span = Span(frozenset({"consumer:1", "consumer:2", "nobody"}), start_us, start_us + hour)
    assert ask(store, built_in(store, "requests"), span=span) == [((), Decimal(20))]


def test_paging_gives_each_event_once_in_order(store: EventStore, kong_event: Make) -> None:
    # Three of each instant, half of them where they arrived, half moved on.
    batch = [kong_event(number, number // 3) for number in range(60)]
    store.accept(*batch[::2])
    store.take(batch[1::2])
    seen: list[EventPlace] = []
    with store.database.snapshot() as session:
        while page := list_events(session, EventFilter(), after=seen[-1] if seen else None, limit=7):
            seen += [event.place for event in page]
    assert len(seen) == 60
    assert all(before < after for before, after in pairwise(seen))


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (EventFilter(start=START + timedelta(minutes=3)), [3, 4, 5]),
        (EventFilter(end=START + timedelta(minutes=2)), [0, 1]),
        (EventFilter(subject="consumer:1"), [1, 3, 5]),
        (EventFilter(subject="nobody"), []),
        (EventFilter(event_type="sample"), []),
        (EventFilter(source="kong/node-7", event_id=f"{2:032x}"), [2]),
        (EventFilter(source="elsewhere"), []),
        (EventFilter(spans=[]), []),
        (EventFilter(spans=[Span(frozenset({"consumer:0"}), -(1 << 60), 1 << 60)]), [0, 2, 4]),
    ],
    ids=["start", "end", "subject", "stranger", "type", "id", "source", "no spans", "spans"],
)
def test_listing_by_every_filter(store: EventStore, kong_event: Make, wanted: EventFilter, numbers: list[int]) -> None:
    store.accept(*(kong_event(number, number, subject=f"consumer:{number % 2}") for number in range(6)))
    with store.database.snapshot() as session:
        assert [int(event.id, 16) for event in list_events(session, wanted)] == numbers


def test_an_event_comes_back_as_it_was_received(store: EventStore) -> None:
    data = {"n": Decimal("1.50"), "text": "é\U0001f6eb", "list": [1, None, {"deep": [True]}], "": "empty name"}
    store.accept(sample(1, data), sample(2, None), sample(3, "text alone"))
    with store.database.snapshot() as session:
        listed = list_events(session, EventFilter())
    assert {event.id: event.data for event in listed} == {"sample 1": data, "sample 2": None, "sample 3": "text alone"}
    assert {event.time for event in listed} == {START}


def test_what_a_meter_cannot_count_is_listed_with_the_reason(store: EventStore) -> None:
    question = meter_of(store, "sum")
    store.accept(sample(1, {"n": "many"}), sample(2, {"n": 2}), sample(3, {}))
    with store.database.snapshot() as session:
        found, _ = list_invalid_events(session, question.meter, START, END)
    assert sorted(event.id for event in found) == ["sample 1", "sample 3"]


def test_the_oldest_and_the_newest_time(store: EventStore, kong_event: Make) -> None:
    with store.database.snapshot() as session:
        assert first_and_last_us(session) is None
    store.accept(kong_event(1, 7), kong_event(2, -3))
    store.take([kong_event(3, 9)])
    with store.database.snapshot() as session:
        found = first_and_last_us(session)
    assert found is not None
    assert [instant_of(time_us) - START for time_us in found] == [timedelta(minutes=-3), timedelta(minutes=9)]


def test_years_before_ours_are_kept(store: EventStore) -> None:
    times = [datetime(1, 1, 2, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
    events = [Event(id=str(n), source="s", type="sample", subject="s", time=time) for n, time in enumerate(times)]
    assert store.accept(*events).accepted == 2
    assert store.accept(*events).duplicates == 2
    assert store.verify()[1] == []


def test_verify_finds_nothing_wrong_with_what_was_accepted(store: EventStore, kong_event: Make) -> None:
    store.accept(*(kong_event(n, 60 * n, subject=f"consumer:{n % 7}", llm={"input_tokens": n}) for n in range(300)))
    store.take([kong_event(n, n, bytes={"response": n}) for n in range(1_000, 1_050)])
    done, found = store.verify()
    assert (done.events, found) == (350, [])


def test_verify_finds_a_lost_event(store: EventStore, kong_event: Make) -> None:
    store.take([kong_event(number, number) for number in range(10)])
    with store.database.transaction() as session:
        session.execute(delete(StoredEvent).where(StoredEvent.id_key == bytes.fromhex(f"{4:032x}")))
    store.settle()
    done, found = store.verify()
    assert done.events == 9
    assert [finding.kind for finding in found] == ["total", "lost"]


def test_an_event_under_two_times_is_found(store: EventStore, kong_event: Make) -> None:
    store.accept(kong_event(1, 1))
    store.accept(kong_event(1, 2))
    assert [finding.kind for finding in store.verify()[1]] == ["twice"]


def test_two_processes_that_bring_one_batch_count_it_once(store: EventStore, kong_event: Make) -> None:
    batch = [kong_event(number, number) for number in range(200)]
    store.accept(*batch[:50])
    answers: list[Accepted] = []
    threads = [threading.Thread(target=lambda: answers.append(store.take(batch))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.accepted for answer in answers) == [0, 0, 0, 150]
    assert ask(store, built_in(store, "requests")) == [((), Decimal(200))]


def test_a_batch_that_breaks_off_leaves_nothing(store: EventStore, kong_event: Make) -> None:
    with store.database.transaction() as session:
        assert accept_events(session, [kong_event(1), kong_event(2)], now=NOW).accepted == 2
        session.rollback()
    assert ask(store, built_in(store, "requests")) == [((), Decimal(0))]
    assert store.accept(kong_event(1)) == Accepted(1, 0, ())
    assert store.verify()[1] == []


def test_the_whole_range_holds_every_day(store: EventStore, kong_event: Make) -> None:
    store.accept(kong_event(1), kong_event(2, 60 * 24 * 5))
    with store.database.snapshot() as session:
        day = (START - datetime(1970, 1, 1, tzinfo=UTC)).days
        assert whole_range(session) == Range(day, day + 6)
