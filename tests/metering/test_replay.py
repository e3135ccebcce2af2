"""Batches that come again and again, in any order, with crashes in between, count once."""

import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from tests.conftest import url_of_engine
from tests.metering.event_stores import EventStore
from tollkeeper.metering.event import Event
from tollkeeper.metering.listing import EventFilter, list_events
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.meters import get_meter
from tollkeeper.metering.stores.move import move_events

EVER = 1 << 60
Make = Callable[..., Event]
Act = tuple[int, int]


class Killed(BaseException):
    """Stands for the end of the process."""


# Each of four batches three times, each with the statement that it dies at (0: it does not, the first time).
acts = st.permutations([batch for batch in range(4) for _ in range(3)]).flatmap(
    lambda order: st.tuples(*(st.tuples(st.just(batch), st.integers(0, 14)) for batch in order))
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(acts=acts)
def test_every_batch_three_times_in_any_order_with_crashes_counts_once(
    store: EventStore, kong_event: Make, acts: tuple[Act, ...]
) -> None:
    run = uuid4().hex  # each example has a source and a subject of its own
    batches = [[_event(kong_event, run, number) for number in range(first, first + 6)] for first in (0, 4, 8, 12)]
    for batch, dies_at in [*acts, *((batch, 0) for batch in range(4))]:
        with _dies(store, dies_at):
            store.take(batches[batch])
            if store.archive is not None:
                move_events(store.database, store.archive, most=5)
    with store.database.snapshot() as session:
        listed = [one.id for one in list_events(session, EventFilter(subject=run))]
        span = [Span(frozenset({run}), -EVER, EVER)]
        sums = [measure(session, Question(get_meter(session, key)), span)[()].quantity() for key in COUNTED]
    assert listed == [f"{number:032x}" for number in range(18)]
    assert sums == [Decimal(18), Decimal(sum(range(18)))]
    assert store.verify()[1] == []


COUNTED = ("requests", "input_tokens")


def _event(make: Make, run: str, number: int) -> Event:
    made = make(number, 25 * number, subject=run, llm={"input_tokens": number})
    made.source = run
    return made


class _dies:  # noqa: N801  # reads like a function where it is used
    """Raise Killed before the n-th statement, and swallow it outside."""

    def __init__(self, store: EventStore, statement: int) -> None:
        self._engine = store.database.engine
        self._left = statement

    def __enter__(self) -> None:
        event.listen(self._engine, "before_cursor_execute", self._count)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        event.remove(self._engine, "before_cursor_execute", self._count)
        return kind is Killed

    def _count(self, *_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "clickhouse"])
def test_a_process_killed_at_any_statement_counts_each_event_once(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    url = url_of_engine(request, "sqlite" if engine == "clickhouse" else engine, tmp_path)
    events_url = f"chdb://{tmp_path / 'clickhouse'}" if engine == "clickhouse" else "-"
    # With an archive the first inserts into it are at statements 70 to 90.
    points = ["71", "83", "97"] if engine == "clickhouse" else ["3", "9", "17", "41", "70", "90"]
    command = [sys.executable, "-m", "tests.metering.replay_until_killed", url, events_url, "20260301", *points]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    # 0 to 99, each once: 100 requests, 99 * 100 / 2 tokens.
    assert there == {"events": 100, "found": [], "sums": ["100", "4950"], "died": len(points)}
