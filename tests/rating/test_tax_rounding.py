"""Tax of sums: examples by hand, and what holds for all."""

import os
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollkeeper.rating.taxes import TaxBase, taxes_inside, taxes_on_top

thoroughly = settings(max_examples=int(os.environ.get("BILLING_EXAMPLES", "200")), deadline=None, database=None)
PERCENTAGES = st.decimals(0, 100, places=4)
NET = st.builds(TaxBase, st.integers(-(10**9), 10**12), PERCENTAGES)


@pytest.mark.parametrize(
    ("amount", "percentage", "tax"),
    [
        (2334, "19", 443),  # 443.46
        (50, "19", 10),  # 9.5 is rounded away from zero
        (-50, "19", -10),
        (1335, "10", 134),
        (100, "0", 0),
        (1000, "7.25", 73),  # 72.5
    ],
)
def test_tax_on_top_is_rounded_half_away_from_zero(amount: int, percentage: str, tax: int) -> None:
    assert taxes_on_top([TaxBase(amount, Decimal(percentage)), TaxBase(10**6, Decimal(0))]) == [tax, 0]


@pytest.mark.parametrize(
    ("gross", "percentage", "tax"),
    [(2000, "20", 333), (119, "19", 19), (2, "100", 1), (1, "100", 1), (-1, "100", -1), (1070, "7", 70)],
)
def test_tax_inside_is_rounded_half_away_from_zero(gross: int, percentage: str, tax: int) -> None:
    assert taxes_inside([TaxBase(gross, Decimal(percentage))]) == [tax]


def test_credits_give_back_no_more_tax_than_there_is() -> None:
    # 9.00 in all: 50 % of -15.00 may go back whole, 100 % only by 9.00; the first of two goes first
    assert taxes_on_top([TaxBase(2400, Decimal(0)), TaxBase(-1500, Decimal(50))]) == [0, -750]
    assert taxes_on_top([TaxBase(2400, Decimal(0)), TaxBase(-1500, Decimal(100))]) == [0, -900]
    assert taxes_on_top([TaxBase(-700, Decimal(100)), TaxBase(2400, Decimal(0)), TaxBase(-800, Decimal(100))]) == [
        -700,
        0,
        -200,
    ]


@thoroughly
@given(bases=st.lists(NET, min_size=1, max_size=6))
def test_with_its_taxes_a_sum_of_zero_or_more_is_zero_or_more(bases: list[TaxBase]) -> None:
    net = sum(base.amount_minor for base in bases)
    taxes = taxes_on_top(bases)
    if net >= 0:
        assert net + sum(taxes) >= 0
    alone = [taxes_on_top([base, TaxBase(10**15, Decimal(0))])[0] for base in bases]
    if net + sum(alone) >= 0:
        assert taxes == alone  # each rate is rounded once, for itself
    assert all(tax == one or one < tax <= 0 for tax, one in zip(taxes, alone, strict=True))


@thoroughly
@given(bases=st.lists(st.builds(TaxBase, st.integers(0, 10**12), PERCENTAGES), min_size=1, max_size=6))
def test_prices_with_tax_inside_hold_the_tax_that_was_added_to_them(bases: list[TaxBase]) -> None:
    taxes = taxes_on_top(bases)
    gross = [TaxBase(base.amount_minor + tax, base.percentage) for base, tax in zip(bases, taxes, strict=True)]
    assert taxes_inside(gross) == taxes
