"""Whatever becomes of a family: every event that a subscription covers is billed once, to whom it belongs."""

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.scenarios.story import Story
from tollkeeper.customers.customers import find_customer
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict
from tollkeeper.invoices.reading import list_lines, parts_of
from tollkeeper.invoices.settle import stretches_of
from tollkeeper.invoices.tables import BilledPeriod, Invoice, InvoiceStatus
from tollkeeper.metering.rows import id_of
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import SubscribeOptions, subscribe
from tollkeeper.usage.counted_events import counted_events
from tollkeeper.usage.usage_of import question_of

EXAMPLES = int(os.environ.get("BILLING_EXAMPLES", "12"))
NAMES = ("a", "b", "c", "d")
JANUARY = datetime(2026, 1, 1, 12, tzinfo=UTC)

day = st.integers(0, 95)
name = st.sampled_from(NAMES)
act = st.one_of(
    st.tuples(st.just("use"), day, name, st.integers(1, 50), day),
    st.tuples(st.just("subscribe"), day, name, day, st.none() | st.integers(1, 60)),
    st.tuples(st.just("move"), day, name, st.none() | name),
    st.tuples(st.just("close"), day),
)


@dataclass
class Family:
    """What the test knows of the story: who is whose, who has a plan when, and who used what."""

    parents: dict[str, str | None]
    plans: list[tuple[str, datetime, datetime | None]] = field(default_factory=list)
    events: list[tuple[str, str, datetime, int]] = field(default_factory=list)

    def is_covered(self, user: str | None, at: datetime) -> bool:
        """Tell whether the user or one above it has a plan at the instant."""
        while user is not None:
            if any(who == user and start <= at and (end is None or at < end) for who, start, end in self.plans):
                return True
            user = self.parents[user]
        return False


def instant(number: int) -> datetime:
    return JANUARY + timedelta(days=number)


def text(number: int) -> str:
    return f"{instant(number):%Y-%m-%d %H:%M}"


class Telling:
    """Tells the acts to the rooms and to the test's own book."""

    def __init__(self, story: Story, family: Family) -> None:
        self.story, self.family = story, family

    def use(self, now: int, who: str, quantity: int, at: int) -> None:
        at = min(at, now)
        self.story.go_on(f"{text(now)} {who} uses {quantity} calls on {text(at)}")
        number = len(self.family.events) + 1
        self.family.events.append((f"e{number}", who, instant(at), quantity))

    def subscribe(self, now: int, who: str, start: int, days: int | None) -> None:
        end = None if days is None else instant(start + days)
        with self.story.database.transaction() as session:
            options = SubscribeOptions(ends_at=end)
            subscribe(session, who, "payg", start=instant(start), now=instant(now), options=options)
        self.family.plans.append((who, instant(start), end))

    def move(self, _now: int, who: str, parent: str | None) -> None:
        self.story.move(who, parent)
        self.family.parents[who] = parent

    def close(self, now: int) -> None:
        self.story.go_on(f"{text(now)} close period")


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    tree=st.tuples(st.none(), st.sampled_from((None, "a")), st.sampled_from((None, "a", "b")), st.sampled_from("abc")),
    first=name,
    acts=st.lists(act, max_size=14),
)
def test_every_covered_event_is_billed_once_and_to_whom_it_belongs(
    sqlite_template: Path,
    tmp_path: Path,
    tree: tuple[str | None, ...],
    first: str,
    acts: list[tuple[str, int]],
) -> None:
    path = tmp_path / f"{os.urandom(8).hex()}.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(open_engine(f"sqlite:///{path}"))
    parents = dict(zip(NAMES, tree, strict=True))
    born = [f"customer {who} in EUR" + (f" paid by {parent}" if parent else "") for who, parent in parents.items()]
    story = Story(database, "\n".join(["plan payg: 1.00 EUR each of calls", *born]))
    telling = Telling(story, Family(parents))
    telling.subscribe(0, first, 0, None)
    for kind, now, *more in sorted(acts, key=lambda told: told[1]):
        with suppress(Conflict):  # on the same plan already, or its own parent
            getattr(telling, kind)(now, *more)
    story.go_on("2026-07-01 close period\n2026-07-01 close after the end")
    with database.snapshot() as session:
        assert_each_once(session, telling.family)
        assert_everyone_s_money_is_right(session, telling.family)
    database.dispose()


def assert_each_once(session: Session, family: Family) -> None:
    """The last revisions of all charges hold each covered event once, and nothing else."""
    latest: dict[tuple[str, str, datetime], BilledPeriod] = {}
    for row in session.scalars(select(BilledPeriod).order_by(BilledPeriod.revision)):
        latest[row.subscription_id, row.rate_card_key, row.period_start] = row
    question = question_of(session, "calls") if latest else None
    billed: Counter[str] = Counter()
    for row in latest.values():
        assert question is not None
        events = [one.event for one in counted_events(session, question, stretches_of(row))]
        assert len(events) == row.event_count
        billed.update(id_of(event.id_key, event.id_text) for event in events)
    assert billed == Counter(number for number, who, at, _ in family.events if family.is_covered(who, at))


def assert_everyone_s_money_is_right(session: Session, family: Family) -> None:
    """At 1.00 a call, the shares on invoices and in what waits are what each customer used."""
    expected: Counter[str] = Counter()
    for _, who, at, quantity in family.events:
        if family.is_covered(who, at):
            expected[id_by_key(session, who)] += 100 * quantity
    found: Counter[str] = Counter()
    for invoice in session.scalars(select(Invoice).where(Invoice.status != InvoiceStatus.VOID)):
        for line in list_lines(session, invoice.id):
            found.update(dict(parts_of(line)))
    for row in session.scalars(select(BilledPeriod).where(BilledPeriod.invoice_id.is_(None))):
        shares = row.proof["moved"] if row.revision else row.proof["shares"]
        found.update({share["customer"]: share["amount_minor"] for share in shares})
    assert {who: amount for who, amount in found.items() if amount} == dict(expected)
    charged = sum(row.amount_minor for row in session.scalars(select(BilledPeriod)))
    assert charged == sum(expected.values())


def id_by_key(session: Session, key: str) -> str:
    customer = find_customer(session, key)
    assert isinstance(customer, Customer)
    return customer.id
