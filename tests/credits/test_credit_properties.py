"""Whatever happens in whatever order: the ledger sums to zero, no balance is below it, and repeats change nothing."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.credits.prepaid import acme, add_acme, balance, draw, give_back, grant, problems
from tests.shop import at
from tollkeeper.credits.expire import expire_due_grants
from tollkeeper.credits.grants import void_grant
from tollkeeper.credits.tables import CreditEntry, CreditGrant
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

EXAMPLES = int(os.environ.get("CREDIT_EXAMPLES", "60"))
START = at("2026-01-01")
by_budget = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass
class Told:
    """What an independent bookkeeper, who knows the rules only, says is left of one grant."""

    name: str
    priority: int
    expires: int | None
    made: int
    left: int
    is_void: bool = False

    def is_usable(self, day: int) -> bool:
        return not self.is_void and self.left > 0 and (self.expires is None or day < self.expires)


@dataclass
class Bookkeeper:
    """Keeps the same credit in a list, by hand."""

    grants: list[Told] = field(default_factory=list)
    drawn: dict[str, dict[str, int]] = field(default_factory=dict)
    given_back: set[str] = field(default_factory=set)

    def draw(self, day: int, amount: int, reference: str) -> dict[str, int]:
        taken = {}
        for one in sorted(
            (one for one in self.grants if one.is_usable(day)),
            key=lambda one: (one.priority, one.expires if one.expires is not None else 10**6, one.made),
        ):
            part = min(one.left, amount - sum(taken.values()))
            if part:
                taken[one.name] = part
                one.left -= part
        if taken:
            self.drawn[reference] = taken
        return taken

    def give_back(self, reference: str) -> None:
        if reference in self.given_back:
            return
        self.given_back.add(reference)
        for one in self.grants:
            one.left += self.drawn.get(reference, {}).get(one.name, 0)

    def balance(self, day: int) -> int:
        return sum(one.left for one in self.grants if one.is_usable(day))


act = st.one_of(
    st.tuples(st.just("grant"), st.integers(1, 100), st.integers(0, 2), st.one_of(st.none(), st.integers(1, 30))),
    st.tuples(st.just("draw"), st.integers(0, 120), st.just(0), st.none()),
    st.tuples(st.just("give back"), st.integers(0, 9), st.just(0), st.none()),
    st.tuples(st.just("void"), st.integers(0, 9), st.just(0), st.none()),
    st.tuples(st.just("expire"), st.just(0), st.just(0), st.none()),
)


@pytest.fixture(scope="module")
def books(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = tmp_path_factory.mktemp("credit") / "credit.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(open_engine(f"sqlite:///{path}"))
    with database.transaction() as session:
        add_acme(session)
    yield database
    database.dispose()


@contextmanager
def undone(database: Database) -> Iterator[Session]:
    """A session whose work is undone, for the next example."""
    with database.transaction() as session:
        yield session
        session.rollback()


@by_budget
@given(acts=st.lists(st.tuples(act, st.integers(0, 3)), max_size=25))
def test_every_sequence_of_acts_agrees_with_a_bookkeeper_and_sums_to_zero(
    books: Database, acts: list[tuple[tuple[str, int, int, int | None], int]]
) -> None:
    with undone(books) as session:
        both = Both(session)
        for (kind, amount, priority, lasts), days in acts:
            both.wait(days)
            ACTS[kind](both, amount, priority, lasts)
            assert balance(session, both.now) == both.keeper.balance(both.day)
        assert problems(session) == []
        assert session.scalar(select(func.coalesce(func.sum(CreditEntry.amount_minor), 0))) == 0
        assert session.scalar(select(func.count()).where(CreditGrant.remaining_minor < 0)) == 0


class Both:
    """Does each act in the books twice, and once with the bookkeeper: the second time changes nothing."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.keeper = Bookkeeper()
        self.day = 0
        self.number = 0

    def wait(self, days: int) -> None:
        self.day += days
        self.number += 1

    @property
    def now(self) -> datetime:
        return START + timedelta(days=self.day, seconds=self.number)

    def grant(self, amount: int, priority: int, lasts: int | None) -> None:
        expires = None if lasts is None else self.day + lasts
        name = f"g{self.number}"
        self.keeper.grants.append(Told(name, priority, expires, self.number, amount))
        for _ in range(2):
            grant(
                self.session, name, amount, now=self.now, priority=priority, key=name, effective_at=START,
                expires_at=None if expires is None else START + timedelta(days=expires),
            )  # fmt: skip

    def draw(self, amount: int, *_: object) -> None:
        reference = f"inv_{self.number}"
        expected = self.keeper.draw(self.day, amount, reference)
        for _ in range(2):
            assert draw(self.session, amount, reference, now=self.now) == expected

    def give_back(self, choice: int, *_: object) -> None:
        if not self.keeper.drawn:
            return
        reference = list(self.keeper.drawn)[choice % len(self.keeper.drawn)]
        self.keeper.give_back(reference)
        for _ in range(2):
            assert give_back(self.session, reference, now=self.now) == self.keeper.drawn[reference]

    def void(self, choice: int, *_: object) -> None:
        if not self.keeper.grants:
            return
        chosen = self.keeper.grants[choice % len(self.keeper.grants)]
        chosen.is_void = True
        for _ in range(2):
            void_grant(self.session, id_of(self.session, chosen.name), now=self.now)

    def expire(self, *_: object) -> None:
        expire_due_grants(self.session, now=self.now)
        assert expire_due_grants(self.session, now=self.now) == 0


ACTS = {
    "grant": Both.grant,
    "draw": Both.draw,
    "give back": Both.give_back,
    "void": Both.void,
    "expire": Both.expire,
}


def id_of(session: Session, name: str) -> str:
    return session.scalars(
        select(CreditGrant.id).where(CreditGrant.name == name, CreditGrant.customer_id == acme(session))
    ).one()


@by_budget
@given(
    grants=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), min_size=1, max_size=6, unique_by=lambda g: g[1]),
    draws=st.lists(st.integers(1, 60), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_the_order_in_which_grants_came_changes_nothing(
    books: Database, grants: list[tuple[int, int]], draws: list[int], order: random.Random
) -> None:
    """Their priorities differ, so age does not decide."""
    outcomes = []
    for _ in range(2):
        with undone(books) as session:
            for amount, priority in grants:
                grant(session, f"p{priority}", amount, priority=priority)
            outcomes.append([list(draw(session, amount, f"inv_{n}").items()) for n, amount in enumerate(draws)])
        order.shuffle(grants)
    assert outcomes[0] == outcomes[1]


@by_budget
@given(draws=st.lists(st.integers(1, 60), max_size=6), order=st.randoms(use_true_random=False))
def test_the_order_of_draws_changes_no_balance(books: Database, draws: list[int], order: random.Random) -> None:
    balances = []
    for _ in range(2):
        with undone(books) as session:
            for name, amount in (("a", 70), ("b", 40)):
                grant(session, name, amount)
            for number, amount in enumerate(draws):
                draw(session, amount, f"inv_{number}")
            balances.append(balance(session, datetime(2026, 1, 10, tzinfo=START.tzinfo)))
        order.shuffle(draws)
    assert balances == [max(0, 110 - sum(draws))] * 2
