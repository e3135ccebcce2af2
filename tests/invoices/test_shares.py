"""Sharing a charge among the customers who used it: amounts by hand, and what holds for any."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.invoices.shares import share_charge, share_correction, share_line, spread
from tollkeeper.rating.types import LineKind, Rated, RatedLine
from tollkeeper.usage.usage_of import Pool, Usage


def used(**quantities: str) -> list[dict[str, Any]]:
    return [
        {"customer": name, "quantity": quantity, "event_count": 1, "amount_minor": 0}
        for name, quantity in quantities.items()
    ]


def rated(*amounts: int) -> Rated:
    return Rated(tuple(RatedLine(LineKind.USAGE, "calls", Decimal(1), Decimal(1), amount) for amount in amounts))


@pytest.mark.parametrize(
    ("amount", "quantities", "parts"),
    [
        (100, ["1", "1", "1"], [34, 33, 33]),
        (-100, ["1", "1", "1"], [-34, -33, -33]),
        (10, ["1", "3"], [3, 7]),  # 2.5 and 7.5: of equal remainders the first
        (7, ["0.001", "0.006"], [1, 6]),
        (5, ["0", "2"], [0, 5]),
        (5, ["-3", "2"], [0, 5]),
        (6, ["0", "0"], [3, 3]),  # by number of events, where nobody has a quantity
        (1, ["1E+2", "1"], [1, 0]),
    ],
)
def test_an_amount_is_shared_by_quantity(amount: int, quantities: list[str], parts: list[int]) -> None:
    assert spread(amount, used(**{f"c{place}": quantity for place, quantity in enumerate(quantities)})) == parts


@given(
    amount=st.integers(-(10**9), 10**9),
    quantities=st.lists(st.decimals(-5, 10**6, places=3), min_size=1, max_size=8),
)
def test_parts_add_up_and_are_within_a_unit_of_the_exact(amount: int, quantities: list[Decimal]) -> None:
    parts = spread(amount, used(**{f"c{place}": str(quantity) for place, quantity in enumerate(quantities)}))
    assert sum(parts) == amount
    weights = [max(quantity, Decimal(0)) for quantity in quantities]
    if any(weights):
        exact = [amount * weight / sum(weights) for weight in weights]
        assert all(abs(part - share) < 1 for part, share in zip(parts, exact, strict=True))


def test_what_nobody_used_is_the_subscriber_s() -> None:
    pool = Pool(Usage(Decimal(0), 0), {})
    assert share_charge("holder", pool, rated(5000)) == [
        {"customer": "holder", "quantity": "0", "event_count": 0, "amount_minor": 5000}
    ]


def test_a_charge_s_shares_are_the_sums_of_its_lines_shares() -> None:
    pool = Pool(Usage(Decimal("3.50"), 3), {"a": Usage(Decimal("1.50"), 1), "b": Usage(Decimal("2.00"), 2)})
    # 7 is 3 and 4, twice; the -1 goes to b, whose 4/7 is the larger remainder
    assert share_charge("a", pool, rated(7, 7, -1)) == [
        {"customer": "a", "quantity": "1.5", "event_count": 1, "amount_minor": 6},
        {"customer": "b", "quantity": "2", "event_count": 2, "amount_minor": 7},
    ]


def test_a_line_of_its_customer_alone_has_no_shares() -> None:
    assert share_line(5, used(a="3"), "a") is None
    assert share_line(5, used(a="3"), "holder") == [{"customer": "a", "quantity": "3", "amount_minor": 5}]


def test_a_correction_says_what_moved_and_for_whom() -> None:
    before = [
        {"customer": "a", "quantity": "5", "event_count": 5, "amount_minor": 50},
        {"customer": "b", "quantity": "3", "event_count": 3, "amount_minor": 30},
    ]
    after = [
        {"customer": "b", "quantity": "3", "event_count": 3, "amount_minor": 30},
        {"customer": "c", "quantity": "2", "event_count": 1, "amount_minor": 20},
    ]
    assert share_correction(before, after) == [
        {"customer": "a", "quantity": "-5", "amount_minor": -50},
        {"customer": "c", "quantity": "2", "amount_minor": 20},
    ]
