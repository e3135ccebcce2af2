"""Small requests of events share a transaction; each is answered as if it had come alone."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.waiting import PATIENCE_SECONDS
from tollkeeper.errors import Unavailable
from tollkeeper.metering.accept import Accepted
from tollkeeper.metering.event import Event, Rejection
from tollkeeper.metering.prepare import CONFLICT, Preparation, prepare_events
from tollkeeper.metering.tables import EventBatch, StoredEvent
from tollkeeper.storage.session import Database
from tollkeeper.web.group_commit import LEADERS, SMALL, GroupCommit

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def event(number: int, status: int = 200, **changes: Any) -> Event:
    named: dict[str, Any] = {"id": f"{number:032x}", "source": "kong/node-7", "type": "kong.request", **changes}
    data = {"route": "flights", "status": status}
    return Event(subject="consumer:1", time=NOW - timedelta(seconds=number), data=data, **named)


def request(*events: Event) -> Preparation:
    return prepare_events(events, now=NOW)


@contextmanager
def all_places_taken(groups: GroupCommit, database: Database) -> Iterator[None]:
    """Let requests wait for each other: every leader is busy until the end."""
    busy = LEADERS[database.engine.dialect.name]
    groups._free -= busy
    try:
        yield
    finally:
        with groups._changed:
            groups._free += busy
            groups._changed.notify_all()


def store_together(database: Database, *requests: Preparation) -> list[Future[Accepted]]:
    """Store requests that wait, in this order, until all are there; then one leads."""
    groups = GroupCommit(database)
    with ThreadPoolExecutor(len(requests)) as pool, all_places_taken(groups, database):
        answers = []
        for number, one in enumerate(requests, 1):
            answers.append(pool.submit(groups.store, one, clock=lambda: NOW))
            while groups.waiting < number:
                assert not answers[-1].done()
    return answers


def stored(database: Database) -> tuple[int, int]:
    """Return how many events, in how many batches."""
    with database.snapshot() as session:
        events = session.scalar(select(func.count()).select_from(StoredEvent))
        batches = session.scalar(select(func.count()).select_from(EventBatch))
    return events or 0, batches or 0


def test_requests_that_wait_share_a_transaction(database: Database) -> None:
    answers = store_together(database, request(event(1), event(2)), request(event(3)), request(event(4)))
    assert [one.result() for one in answers] == [Accepted(2, 0, ()), Accepted(1, 0, ()), Accepted(1, 0, ())]
    events, batches = stored(database)
    assert events == 4
    # the first to wake leads, and takes all that wait along
    assert batches == 1


def test_each_request_hears_what_became_of_its_own_events(database: Database) -> None:
    alone = GroupCommit(database)
    alone.store(request(event(1), event(2)), clock=lambda: NOW)
    first = request(event(3), event(1), event(4), event(4))
    second = request(event(5), event(6, source="sensor\0"), event(2, status=500))
    answers = [one.result() for one in store_together(database, first, second)]
    nul = Rejection(1, f"{6:032x}", "/source: holds a NUL character")
    assert answers == [
        Accepted(2, 2, ()),
        Accepted(1, 0, (nul, Rejection(2, f"{2:032x}", CONFLICT))),
    ]
    assert stored(database) == (5, 2)


def test_an_event_in_two_requests_of_a_group_counts_once_and_one_with_another_content_is_refused(
    database: Database,
) -> None:
    answers = store_together(database, request(event(1)), request(event(1), event(2)), request(event(2, status=500)))
    outcomes = [one.result() for one in answers]
    assert sum(one.accepted for one in outcomes) == 2
    # whoever leads is stored first: the outcome is that of one of the orders
    assert sum(one.duplicates + len(one.rejected) for one in outcomes) == 2
    assert stored(database)[0] == 2


def test_a_request_that_fails_does_not_take_the_others_with_it(database: Database) -> None:
    [broken] = request(event(9)).prepared
    poison = Preparation([broken._replace(time_us=1 << 70)], (), 0)
    answers = store_together(database, request(event(1)), poison, request(event(2)))
    with pytest.raises(Exception, match=r"."):
        answers[1].result()
    assert [answers[0].result(), answers[2].result()] == [Accepted(1, 0, ())] * 2
    assert stored(database)[0] == 2


def test_a_clock_that_fails_keeps_nobody_waiting(database: Database) -> None:
    """A test clock reads the database, and that may be away when a request is about to lead."""

    def away() -> datetime:
        raise Unavailable("the database is away")

    groups = GroupCommit(database)
    for _ in range(LEADERS[database.engine.dialect.name]):
        with pytest.raises(Unavailable):
            groups.store(request(event(1)), clock=away)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(groups.store, request(event(1)), clock=lambda: NOW)
        try:
            assert answer.result(PATIENCE_SECONDS) == Accepted(1, 0, ())
        finally:
            groups._free += 1  # lets one that hangs end
            with groups._changed:
                groups._changed.notify_all()


def test_a_large_request_waits_for_no_group(database: Database) -> None:
    groups = GroupCommit(database)
    with all_places_taken(groups, database):
        large = request(*(event(number) for number in range(SMALL + 1)))
        assert groups.store(large, clock=lambda: NOW).accepted == SMALL + 1


def test_many_senders_at_once_lose_and_repeat_nothing(database: Database) -> None:
    groups = GroupCommit(database)
    together = threading.Barrier(6)

    def send(sender: int) -> int:
        together.wait()
        accepted = 0
        for turn in range(10):
            # each event is sent by two of the six
            events = [event(sender // 2 * 100 + turn * 5 + number) for number in range(5)]
            accepted += groups.store(request(*events), clock=lambda: NOW).accepted
        return accepted

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(send, range(6))) == 150
    assert stored(database)[0] == 150
