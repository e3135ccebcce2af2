"""Whatever is done to a subscription in whatever order: its time has no gap, and the money is what each day costs."""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.scenarios.story import Story
from tests.subscriptions.act_model import Model, Span, date_of, next_month
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.tables import BilledPeriod
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import load_timeline

EXAMPLES = int(os.environ.get("SUBSCRIPTION_EXAMPLES", "12"))
LAST = 120  # the first of May
FEES = {None: "the list price of fee", 0: "no fee", 7: "911.40 EUR per month"}
START = """
    plan basic: 130.20 EUR per month, 0.01 EUR each of calls
    plan top: 651.00 EUR per month, 0.03 EUR each of calls
    plan later: 390.60 EUR per month in arrears, 0.04 EUR each of calls
    add-on seat of several: 130.20 EUR per month
    2026-01-01 acme subscribes to basic
    plan basic: 260.40 EUR per month, 0.02 EUR each of calls
"""

day = st.integers(0, LAST - 1)
later = st.integers(1, 60)
act = st.one_of(
    st.tuples(st.just("change"), day, st.sampled_from(["basic", "top", "later"]), st.booleans()),
    st.tuples(st.just("migrate"), day, st.none(), st.booleans()),
    st.tuples(st.just("seats"), day, st.integers(0, 4), st.none()),
    st.tuples(st.just("pause"), day, st.one_of(st.none(), later), st.integers(0, 9)),
    st.tuples(st.just("resume"), day, st.none(), st.none()),
    st.tuples(st.just("cancel"), day, st.integers(0, 60), st.booleans()),
    st.tuples(st.just("attach"), day, st.integers(1, 3), st.one_of(st.none(), later)),
    st.tuples(st.just("add-on"), day, st.integers(0, 3), st.none()),
    st.tuples(st.just("agree"), day, st.sampled_from([None, 0, 7]), st.booleans()),
    st.tuples(
        st.just("undo"),
        day,
        st.sampled_from(["cancel", "change plan", "pause", "quantity", "add on", "override"]),
        st.none(),
    ),
    st.tuples(st.just("use"), day, st.integers(1, 50), day),
    st.tuples(st.just("close"), day, st.none(), st.none()),
)
Told = tuple[str, int, Any, Any]
Planned = tuple[str, Callable[[], object]]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(act, max_size=14))
def test_the_sum_of_all_charges_is_what_each_day_costs(sqlite_template: Path, tmp_path: Path, acts: list[Told]) -> None:
    path = tmp_path / f"{uuid4().hex}.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(open_engine(f"sqlite:///{path}"))
    story, model = Story(database, START), Model()
    for told in sorted(acts, key=lambda one: one[1]):
        _do(story, model, told)
    if model.end is None or model.end > LAST:
        story.go_on(f"{date_of(LAST)} acme cancels")
        model.end, model.keeps_fees = LAST, False
    story.go_on(f"{date_of(LAST)} close period\n{date_of(LAST + 1)} close after the end")
    with database.snapshot() as session:
        assert session.scalar(select(func.coalesce(func.sum(BilledPeriod.amount_minor), 0))) == model.expected()
        timeline = load_timeline(session, session.scalars(select(Subscription)).one())
    segments = timeline.segments
    assert all(one.end == other.start for one, other in pairwise(segments))
    ends = [(segments[0].start.date(), segments[-1].end and segments[-1].end.date())] if segments else []
    assert ends == ([(date_of(0), date_of(model.end))] if model.end else [])
    database.dispose()


def _do(story: Story, model: Model, told: Told) -> None:
    """Tell the story and, if the house took it, the model."""
    kind, now, _, _ = told
    if kind == "close":
        story.go_on(f"{date_of(now)} close period")
        return
    sentence, change = _plan(model, told)
    try:
        story.attempt(f"{date_of(now)} {sentence}")
    except (Conflict, InvalidInput):
        return  # it has ended, is paused, is not attached and so on
    change()


def _plan(model: Model, told: Told) -> Planned:
    """Return a sentence and what it does to the model."""
    kind, now, what, more = told
    at = next_month(now) if more is True else now
    end = " at period end" if more is True else ""
    planned: dict[str, Callable[[], Planned]] = {
        "change": lambda: (f"acme changes to {what}{end}", lambda: model.change(what, at)),
        "migrate": lambda: (f"acme migrates{end}", lambda: model.migrate(at)),
        "seats": lambda: (f"acme has {what} seats", lambda: model.set_seats(what, now)),
        "agree": lambda: (f"acme agrees on {FEES[what]}{end}", lambda: model.agree(what, at)),
        "undo": lambda: (f"acme takes back the {what}", lambda: model.undo(what, now)),
        "resume": lambda: ("acme resumes", lambda: model.resume(now)),
        "add-on": lambda: (f"acme now has {what} of seat", lambda: model.set_add_on(what, now)),
        "use": lambda: _use(model, what, min(now, more)),
        "cancel": lambda: _cancel(model, now + what, is_credited=more),
        "pause": lambda: _pause(model, Span(now + more, now + more + what if what else None)),
        "attach": lambda: _attach(model, Span(now, now + more if more else None, what)),
    }
    return planned[kind]()


def _use(model: Model, count: int, used_on: int) -> Planned:
    return f"acme uses {count} calls on {date_of(used_on)}", lambda: model.calls.append((used_on, count))


def _cancel(model: Model, at: int, *, is_credited: bool) -> Planned:
    words = "" if is_credited else " without credit"
    return f"acme cancels on {date_of(at)}{words}", lambda: model.cancel(at, keeps_fees=not is_credited)


def _pause(model: Model, span: Span) -> Planned:
    until = "" if span.end is None else f" until {date_of(span.end)}"
    return f"acme pauses from {date_of(span.start)}{until}", lambda: model.pauses.append(span)


def _attach(model: Model, span: Span) -> Planned:
    until = "" if span.end is None else f" until {date_of(span.end)}"
    return f"acme attaches {span.count} seat{until}", lambda: model.add_ons.append(span)
