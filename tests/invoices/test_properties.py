"""Whatever happens in whatever order: the books are in order, every invoice is proved, and nothing is lost."""

import os
import random
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.scenarios.story import Story
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.tables import STEP_KINDS, BilledPeriod, InvoiceLine
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

EXAMPLES = int(os.environ.get("BILLING_EXAMPLES", "12"))
PLANS = """
    plan basic: 31.00 EUR per month, 100 calls included, then 0.0125 EUR each, at least 5.00 EUR
    plan team: 3 x 10.00 EUR per month, calls graduated to 50 at 0.1 plus 1 | above at 0.05, 15 % off
    plan bulk: 7.77 EUR per week in arrears, calls volume to 100 at 0.1 | above at 0.05
    customer group in EUR
    customer north in EUR paid by group
"""
KEYS, PLAN_NAMES = ("group", "north"), ("basic", "team", "bulk")

day = st.integers(0, 95)
key = st.sampled_from(KEYS)
act = st.one_of(
    st.tuples(st.just("use"), key, st.integers(0, 300), day),
    st.tuples(st.just("late"), key, st.integers(1, 300), st.tuples(day, day)),
    st.tuples(st.just("change"), key, st.sampled_from(PLAN_NAMES), day),
    st.tuples(st.just("seats"), key, st.integers(0, 9), day),
    st.tuples(st.just("cancel"), key, st.booleans(), day),
    st.tuples(st.just("close"), key, st.none(), day),
    st.tuples(st.just("void"), key, st.booleans(), day),
    st.tuples(st.just("grant"), st.just("group"), st.integers(1, 90), day),
)
by_budget = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def fresh(template: Path, folder: Path) -> Database:
    """Return a database of its own for one example."""
    path = folder / f"{uuid4().hex}.db"  # hypothesis seeds `random`, so that its numbers come again
    path.write_bytes(template.read_bytes())
    return Database(open_engine(f"sqlite:///{path}"))


def date(number: int) -> str:
    """Return the n-th day of 2026, at noon."""
    month_starts = (0, 31, 59, 90)
    month = max(index for index, start in enumerate(month_starts) if start <= number)
    return f"2026-{month + 1:02}-{number - month_starts[month] + 1:02} 12:00"


def sentence(told: tuple[object, ...], story: Story) -> str:
    """Return what happened as a sentence of the story."""
    kind, who, what, when = told
    if kind == "use":
        return f"{date(when)} {who} uses {what} calls"  # type: ignore[arg-type]  # the strategy gives a day
    if kind == "late":
        first, last = sorted(when)  # type: ignore[call-overload]  # the strategy gives two days
        return f"{date(last)} {who} uses {what} calls on {date(first)}"
    at = date(when)  # type: ignore[arg-type]  # the strategy gives a day
    if kind == "void":
        return f"{at} void INV-{1 + when % 4:06}" + (" and forgive" if what else "")  # type: ignore[operator]
    return {
        "change": f"{at} {who} changes to {what}",
        "seats": f"{at} {who} has {what} seats",
        "cancel": f"{at} {who} cancels" + (" at period end" if what else ""),
        "close": f"{at} close period",
        "grant": f"{at} grant {who} {what}.50 EUR of promotional credit until 2026-05-01",
    }[str(kind)]


def when_of(told: tuple[object, ...]) -> int:
    """Return the day on which something happened."""
    when = told[3]
    return max(when) if isinstance(when, tuple) else int(str(when))


@pytest.mark.slow
@by_budget
@given(plans=st.tuples(*[st.sampled_from(PLAN_NAMES)] * 2), acts=st.lists(act, max_size=12))
def test_the_books_are_in_order_whatever_happens(
    sqlite_template: Path, tmp_path: Path, plans: tuple[str, str], acts: list[tuple[object, ...]]
) -> None:
    database = fresh(sqlite_template, tmp_path)
    story = Story(database, PLANS)
    for who, plan in zip(KEYS, plans, strict=True):
        story.go_on(f"2026-01-01 {who} subscribes to {plan}")
    for told in sorted(acts, key=when_of):
        try:
            story.go_on(sentence(told, story))
        except (Conflict, InvalidInput, LookupError):
            pass  # the subscription has ended, the plan has no seats, the invoice is void already
        except Exception as error:
            if type(error).__name__ != "NotFound":
                raise
    story.go_on("2026-07-01 close period\n2026-07-01 close period")
    assert story.invoices == []
    assert_nothing_is_lost(database)
    database.dispose()


def assert_nothing_is_lost(database: Database) -> None:
    """All that charges come to is on live invoices, was forgiven, or waits."""
    with database.snapshot() as session:
        charges = session.scalar(select(func.coalesce(func.sum(BilledPeriod.amount_minor), 0)))
        waiting = session.scalar(
            select(func.coalesce(func.sum(BilledPeriod.amount_minor), 0)).where(BilledPeriod.invoice_id.is_(None))
        )
        live = session.scalar(
            select(func.coalesce(func.sum(InvoiceLine.amount_minor), 0)).where(
                InvoiceLine.kind.not_in(STEP_KINDS),
                InvoiceLine.invoice_id.in_(select(BilledPeriod.invoice_id).where(BilledPeriod.invoice_id.is_not(None))),
            )
        )
    assert (charges or 0) - (waiting or 0) == live


@by_budget
@given(
    quantities=st.lists(st.tuples(st.integers(0, 89), st.integers(0, 300)), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_order_and_repetition_of_events_change_nothing(
    sqlite_template: Path, tmp_path: Path, quantities: list[tuple[int, int]], order: random.Random
) -> None:
    told = [f"2026-04-01 acme uses {quantity} calls on {date(number)}" for number, quantity in quantities]
    totals = []
    for _ in range(2):
        database = fresh(sqlite_template, tmp_path)
        start = PLANS + "\n2026-01-01 acme subscribes to team\n"
        story = Story(database, start + "\n".join(told))
        story.send_again(order.sample(story.sent, order.randint(0, len(story.sent))), "2026-04-02")
        story.close("2026-05-01")
        totals.append([line.split(" ", 1)[1] for line in story.invoices] + story.lines)
        story.send_again(story.sent, "2026-05-02")
        story.go_on("2026-05-03 close period")
        assert story.invoices == []
        database.dispose()
        order.shuffle(told)
    assert totals[0] == totals[1]
