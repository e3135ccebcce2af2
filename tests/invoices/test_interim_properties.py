"""Any split of a period into interim invoices adds up to the unsplit total, of a charge and of invoices."""

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.invoices.test_properties import date, fresh
from tests.scenarios.plan_text import read_cards
from tests.scenarios.story import Story
from tollkeeper.catalog.spec import RateCard
from tollkeeper.invoices.accounts import Account
from tollkeeper.invoices.charges import name_of
from tollkeeper.invoices.interim import cut_period
from tollkeeper.invoices.settle import row_of_charge
from tollkeeper.invoices.tables import BilledPeriod, Invoice
from tollkeeper.invoices.wording import word_lines
from tollkeeper.subscriptions.coverage import Coverage
from tollkeeper.subscriptions.periods import Period
from tollkeeper.subscriptions.types import BillingPeriod
from tollkeeper.usage.usage_of import Pool, Usage

MONTH = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
CARDS = (
    "0.0125 EUR each of calls",
    "100 calls included, then 0.0333 EUR each, 10 % off",
    "calls graduated to 50 at 0.1 plus 1 | to 80.5 at 0.07 plus 0.35 | above at 0.05, at least 20.00 EUR",
    "calls volume to 100 at 0.1 | above at 0.05, at least 3.00 EUR",
    "5.00 EUR per 30 calls, at most 22.00 EUR",
    "2.9 % of calls and 0.25 EUR each; 2 free, 33 % off",
    "cost of calls times 1.17, billed by 7 rounded up, at least 1.00 EUR, at most 40.00 EUR",
)
quantities = st.decimals(-20, 400, places=2, allow_nan=False)


def period_of(card: str) -> BillingPeriod:
    (told,) = read_cards(card)
    return BillingPeriod(
        subscription_id="sub",
        customer_id="cus",
        term_id="term",
        plan_version_id="plan",
        phase_key="phase",
        rate_card=RateCard.model_validate(told),
        quantity=Decimal(1),
        start=MONTH.start,
        end=MONTH.end,
        full=MONTH,
        fraction=Fraction(1),
        due_at=MONTH.end,
    )


def bill(period: BillingPeriod, billed: list[BilledPeriod], used: Decimal, *, is_complete: bool) -> None:
    """Bill a charge as it stands, and check that the lines of its document add up to what it adds."""
    timeline: Any = None  # which charges there are is given
    account = Account(timeline, "EUR", {name_of(period): billed}, Coverage({"cus": None}, []))
    usage = Usage(used, int(abs(used)) + 1)
    row = row_of_charge(
        period, account, lambda _: Pool(usage, {"cus": usage}), now=MONTH.start, is_complete=is_complete
    )
    if row is None or (not is_complete and not row.amount_minor):
        return
    assert sum(line.amount_minor for line in word_lines(row, "Plan", "calls")) == row.amount_minor
    billed.append(row)


@settings(max_examples=2000, deadline=None, database=None)
@given(card=st.sampled_from(CARDS), parts=st.lists(quantities, max_size=5), last=quantities)
def test_any_split_into_interim_rows_adds_up_to_the_charge(card: str, parts: list[Decimal], last: Decimal) -> None:
    period = period_of(card)
    whole: list[BilledPeriod] = []
    bill(period, whole, last, is_complete=True)
    split: list[BilledPeriod] = []
    for place, used in enumerate(parts, start=1):
        bill(cut_period(period, MONTH.start + timedelta(days=5 * place)), split, used, is_complete=False)
    bill(period, split, last, is_complete=True)
    assert sum(row.amount_minor for row in split) == sum(row.amount_minor for row in whole)
    assert [row.kind for row in split] == ["interim"] * (len(split) - 1) + ["charge"]


day = st.integers(0, 30)


@pytest.mark.slow
@settings(
    max_examples=int(os.environ.get("BILLING_EXAMPLES", "12")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(card=st.sampled_from(CARDS), uses=st.lists(st.tuples(day, st.integers(0, 120)), max_size=6), looks=st.sets(day))
def test_invoices_with_and_without_interim_ones_come_to_the_same(
    sqlite_template: Path, tmp_path: Path, card: str, uses: list[tuple[int, int]], looks: set[int]
) -> None:
    totals = []
    for threshold in ("", ", interim invoices at 4.00 EUR"):
        database = fresh(sqlite_template, tmp_path)
        plan = f"plan payg: 7.00 EUR per month in arrears, {card}{threshold}"
        story = Story(database, f"{plan}\n2026-01-01 acme subscribes to payg")
        told = [(when, f"{date(when)} acme uses {quantity} calls") for when, quantity in uses]
        told += [(when, f"{date(when)} bill thresholds") for when in looks]
        # the story itself verifies every invoice and checks the books whenever it goes on
        story.go_on("\n".join(text for _, text in sorted(told)) + "\n2026-02-01 close period\n2026-02-02 close period")
        assert story.invoices == []
        with database.snapshot() as session:
            totals.append(session.scalar(select(func.sum(Invoice.total_minor))))
        database.dispose()
    assert totals[0] == totals[1]
