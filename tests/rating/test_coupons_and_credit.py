"""Coupons and promotional credit, spread over lines to the smallest unit."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollkeeper.rating.coupons import FixedCoupon, PercentageCoupon, coupon_parts, coupons_parts, draw_credit
from tollkeeper.rating.spread import spread_minor

thoroughly = settings(max_examples=2000, deadline=None, database=None)
LINES = st.lists(st.integers(-(10**6), 10**9), max_size=12)


@pytest.mark.parametrize(
    ("amount", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),  # the unit that is left goes to the first of equals
        (200, [1, 1, 1], [67, 67, 66]),
        (10, [333, 333, 334], [3, 3, 4]),  # 3.33, 3.33, 3.34
        (5, [0, 7, 0], [0, 5, 0]),
        (0, [3, 4], [0, 0]),
        (0, [], []),
        (0, [0, 0], [0, 0]),
        (1, [10**12, 1], [1, 0]),
    ],
)
def test_an_amount_is_spread_by_largest_remainder(amount: int, weights: list[int], parts: list[int]) -> None:
    assert spread_minor(amount, weights) == parts


@pytest.mark.parametrize(("amount", "weights"), [(-1, [1]), (1, [1, -1]), (1, []), (1, [0, 0])])
def test_what_cannot_be_spread_is_an_error(amount: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r"more|nothing to spread"):
        spread_minor(amount, weights)


def test_a_percentage_is_rounded_once_on_the_sum() -> None:
    # 10 % of 0.15 is 0.015, so 0.02; of each line it would be 0.01 three times
    assert coupon_parts([5, 5, 5], PercentageCoupon(Decimal(10))) == [1, 1, 0]


def test_a_fixed_coupon_takes_no_more_than_there_is() -> None:
    assert coupon_parts([300, 700], FixedCoupon(500)) == [150, 350]
    assert coupon_parts([300, 700], FixedCoupon(5000)) == [300, 700]
    assert coupon_parts([], FixedCoupon(500)) == []


def test_a_discount_among_the_lines_lowers_the_base() -> None:
    # 10.00 less 2.00 is 8.00: half of it is 4.00, all on the positive line
    assert coupon_parts([1000, -200], PercentageCoupon(Decimal(50))) == [400, 0]
    assert coupon_parts([1000, -1500], PercentageCoupon(Decimal(50))) == [0, 0]


def test_the_second_coupon_works_on_what_the_first_left() -> None:
    # 100.00 less 20 % is 80.00; less 10.00 is 70.00
    assert coupons_parts([10000], [PercentageCoupon(Decimal(20)), FixedCoupon(1000)]) == [[2000], [1000]]


def test_credit_burns_in_the_given_order() -> None:
    # 10.00 due: the first grant pays its 3.00, the second the rest of 7.00, the third nothing
    drawn = draw_credit([400, 600], [300, 900, 100])
    assert [sum(parts) for parts in drawn] == [300, 700, 0]
    assert drawn[0] == [120, 180]


def test_an_empty_or_overdrawn_grant_pays_nothing() -> None:
    assert draw_credit([500], [0, -20, 800]) == [[0], [0], [500]]


@pytest.mark.parametrize(
    "coupon", [FixedCoupon(-1), PercentageCoupon(Decimal(-1)), PercentageCoupon(Decimal("100.01"))]
)
def test_a_coupon_never_adds(coupon: FixedCoupon | PercentageCoupon) -> None:
    with pytest.raises(ValueError, match="coupon takes"):
        coupon_parts([100], coupon)


@thoroughly
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=12).filter(any), st.fractions(0, 1))
def test_parts_add_up_and_none_exceeds_its_line(weights: list[int], share: Fraction) -> None:
    amount = int(sum(weights) * share)
    parts = spread_minor(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert 0 <= part <= weight
        assert abs(part * sum(weights) - amount * weight) < sum(weights)  # less than one unit off


@thoroughly
@given(LINES, st.lists(st.integers(0, 10**9), max_size=5))
def test_credit_pays_at_most_what_is_due_and_what_there_is(lines: list[int], balances: list[int]) -> None:
    drawn = draw_credit(lines, balances)
    paid = [sum(parts) for parts in drawn]
    assert sum(paid) == min(max(0, sum(lines)), sum(balances))
    assert all(amount <= balance for amount, balance in zip(paid, balances, strict=True))
    for place, amount in enumerate(paid):
        if amount < balances[place]:
            assert not any(paid[place + 1 :])


@thoroughly
@given(LINES, st.integers(0, 10**4).map(lambda basis_points: Decimal(basis_points).scaleb(-2)))
def test_a_percentage_leaves_no_line_below_zero(lines: list[int], percentage: Decimal) -> None:
    parts = coupon_parts(lines, PercentageCoupon(percentage))
    assert 0 <= sum(parts) <= max(0, sum(lines))
    assert all(part <= max(0, line) for part, line in zip(parts, lines, strict=True))


@thoroughly
@given(
    st.lists(st.tuples(st.integers(-500, 5000), st.booleans()), min_size=1, max_size=8),
    st.lists(
        st.builds(FixedCoupon, st.integers(0, 9000)) | st.builds(PercentageCoupon, st.integers(0, 100).map(Decimal)),
        max_size=4,
    ),
)
def test_coupons_on_some_lines_never_bring_the_document_below_zero(
    lines: list[tuple[int, bool]], coupons: list[FixedCoupon | PercentageCoupon]
) -> None:
    left = [amount for amount, _ in lines]
    covered = [place for place, (_, is_covered) in enumerate(lines) if is_covered]
    for coupon in coupons:
        before = sum(left)
        parts = coupon_parts([left[place] for place in covered], coupon, before)
        for place, part in zip(covered, parts, strict=True):
            assert 0 <= part <= max(0, left[place])
            left[place] -= part
        assert sum(left) == before - sum(parts)
        assert sum(left) >= min(0, before)
