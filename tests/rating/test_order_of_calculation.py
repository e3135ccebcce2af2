"""Conversion, free units, price, percentage, maximum, minimum: in this order, each step alone and together."""

from collections.abc import Callable

import pytest

Charge = Callable[..., list[str]]
UNIT = {"type": "unit", "amount": "0.01"}


@pytest.mark.parametrize(
    ("conversion", "quantity", "expected"),
    [
        ({"divide_by": "1000"}, "1500", "usage 1.5 x 10 = 15.00"),
        ({"divide_by": "1000", "rounding": "none"}, "1500", "usage 1.5 x 10 = 15.00"),
        ({"divide_by": "1000", "rounding": "ceiling"}, "1001", "usage 2 x 10 = 20.00"),
        ({"divide_by": "1000", "rounding": "ceiling"}, "1000", "usage 1 x 10 = 10.00"),
        ({"divide_by": "1000", "rounding": "floor"}, "1999", "usage 1 x 10 = 10.00"),
        ({"divide_by": "1000", "rounding": "half_up"}, "1500", "usage 2 x 10 = 20.00"),
        ({"divide_by": "1000", "rounding": "half_up"}, "1499", "usage 1 x 10 = 10.00"),
        ({"divide_by": "1000", "rounding": "half_up"}, "2500", "usage 3 x 10 = 30.00"),  # not to even
        ({"multiply_by": "1.2"}, "10", "usage 12 x 10 = 120.00"),
        ({"multiply_by": "1.2", "rounding": "ceiling"}, "11", "usage 14 x 10 = 140.00"),  # 13.2
    ],
)
def test_units_are_converted_before_they_are_priced(
    charge: Charge, conversion: dict[str, str], quantity: str, expected: str
) -> None:
    assert charge({"type": "unit", "amount": "10"}, quantity, unit_conversion=conversion)[0] == expected


def test_a_conversion_without_a_finite_decimal_loses_nothing(charge: Charge) -> None:
    # 1/3 of a unit at 0.015 is 0.005 exactly, which rounds up; cut to digits it would be 0.00499 and round down
    lines = charge({"type": "unit", "amount": "0.015"}, "1", unit_conversion={"divide_by": "3"})
    assert lines == ["usage 0.333333333333 x 0.015 = 0.01", "total 0.01"]


def test_free_units_are_counted_after_the_conversion(charge: Charge) -> None:
    terms = {"unit_conversion": {"divide_by": "1000"}, "discounts": {"usage": "100"}}
    assert charge({"type": "unit", "amount": "1"}, "150000", **terms) == ["usage 50 x 1 = 50.00", "total 50.00"]


def test_free_units_are_taken_off_before_the_tiers(charge: Charge) -> None:
    tiers = [{"up_to": "100", "unit_price": "1"}, {"up_to": None, "unit_price": "0.5"}]
    lines = charge({"type": "graduated", "tiers": tiers}, "150", discounts={"usage": "30"})
    assert lines == ["usage 100 x 1 = 100.00", "usage 20 x 0.5 = 10.00", "total 110.00"]


@pytest.mark.parametrize("quantity", ["0", "99.9", "100"])
def test_free_units_never_make_a_quantity_negative(charge: Charge, quantity: str) -> None:
    assert charge(UNIT, quantity, discounts={"usage": "100"}) == ["total 0.00"]


def test_free_units_can_save_a_started_package(charge: Charge) -> None:
    price = {"type": "package", "amount": "5.00", "package_size": "1000"}
    assert charge(price, "2100", discounts={"usage": "100"})[-1] == "total 10.00"
    assert charge(price, "2101", discounts={"usage": "100"})[-1] == "total 15.00"


def test_free_units_choose_the_volume_tier(charge: Charge) -> None:
    tiers = [{"up_to": "100", "unit_price": "1"}, {"up_to": None, "unit_price": "0.5"}]
    assert charge({"type": "volume", "tiers": tiers}, "110", discounts={"usage": "10"})[-1] == "total 100.00"


def test_a_percentage_is_taken_off_the_sum_of_the_rounded_lines_once(charge: Charge) -> None:
    tiers = [{"up_to": "1", "unit_price": "0.05"}, {"up_to": None, "unit_price": "0.05"}]
    # lines 0.05 + 0.05; 10 % of 0.10 is 0.01, while 10 % of each line would be 0.01 twice
    lines = charge({"type": "graduated", "tiers": tiers}, "2", discounts={"percentage": "10"})
    assert lines == ["usage 1 x 0.05 = 0.05", "usage 1 x 0.05 = 0.05", "discount 1 x -0.01 = -0.01", "total 0.09"]


def test_half_a_cent_of_discount_is_rounded_away_from_zero(charge: Charge) -> None:
    # 15 % of 0.10 is 0.015
    lines = charge({"type": "unit", "amount": "0.10"}, "1", discounts={"percentage": "15"})
    assert lines[1:] == ["discount 1 x -0.02 = -0.02", "total 0.08"]


def test_the_discount_covers_the_flat_prices_of_tiers(charge: Charge) -> None:
    tiers = [{"up_to": None, "unit_price": "1", "flat_price": "10"}]
    lines = charge({"type": "graduated", "tiers": tiers}, "10", discounts={"percentage": "50"})
    assert lines[2:] == ["discount 1 x -10.00 = -10.00", "total 10.00"]


def test_a_flat_price_can_be_discounted(charge: Charge) -> None:
    lines = charge({"type": "flat", "amount": "20.00"}, "0", discounts={"percentage": "12.5"})
    assert lines == ["flat 1 x 20.00 = 20.00", "discount 1 x -2.50 = -2.50", "total 17.50"]


def test_a_discount_of_100_per_cent_leaves_nothing(charge: Charge) -> None:
    lines = charge({"type": "unit", "amount": "0.333"}, "7", discounts={"percentage": "100"})
    assert lines == ["usage 7 x 0.333 = 2.33", "discount 1 x -2.33 = -2.33", "total 0.00"]


def test_a_discount_of_nothing_is_no_line(charge: Charge) -> None:
    assert charge(UNIT, "100", discounts={"percentage": "0"}) == ["usage 100 x 0.01 = 1.00", "total 1.00"]
    assert charge(UNIT, "0", discounts={"percentage": "10"}) == ["total 0.00"]


def test_the_maximum_takes_away_what_exceeds_it(charge: Charge) -> None:
    lines = charge(UNIT, "60000", commitments={"maximum_amount": "500.00"})
    assert lines == ["usage 60000 x 0.01 = 600.00", "maximum_spend 1 x -100.00 = -100.00", "total 500.00"]
    assert charge(UNIT, "50000", commitments={"maximum_amount": "500.00"}) == [
        "usage 50000 x 0.01 = 500.00",
        "total 500.00",
    ]


def test_a_maximum_of_zero_makes_everything_free(charge: Charge) -> None:
    assert charge(UNIT, "300", commitments={"maximum_amount": "0"})[-1] == "total 0.00"


def test_the_maximum_applies_after_the_discount(charge: Charge) -> None:
    # 600.00 less 10 % is 540.00, less 40.00 is 500.00
    lines = charge(UNIT, "60000", discounts={"percentage": "10"}, commitments={"maximum_amount": "500"})
    assert lines[1:] == ["discount 1 x -60.00 = -60.00", "maximum_spend 1 x -40.00 = -40.00", "total 500.00"]


def test_the_minimum_is_filled_up(charge: Charge) -> None:
    lines = charge(UNIT, "1200", commitments={"minimum_amount": "50.00"})
    assert lines == ["usage 1200 x 0.01 = 12.00", "minimum_commitment 1 x 38.00 = 38.00", "total 50.00"]


def test_the_minimum_is_due_at_zero_usage(charge: Charge) -> None:
    lines = charge(UNIT, "0", commitments={"minimum_amount": "50.00"})
    assert lines == ["minimum_commitment 1 x 50.00 = 50.00", "total 50.00"]


def test_a_reached_minimum_is_no_line(charge: Charge) -> None:
    assert charge(UNIT, "5000", commitments={"minimum_amount": "50.00"}) == [
        "usage 5000 x 0.01 = 50.00",
        "total 50.00",
    ]


def test_the_minimum_applies_after_the_discount(charge: Charge) -> None:
    # 50.00 less 10 % is 45.00: 5.00 are missing
    lines = charge(UNIT, "5000", discounts={"percentage": "10"}, commitments={"minimum_amount": "50"})
    assert lines[1:] == ["discount 1 x -5.00 = -5.00", "minimum_commitment 1 x 5.00 = 5.00", "total 50.00"]


def test_minimum_and_maximum_may_be_the_same(charge: Charge) -> None:
    same = {"minimum_amount": "30", "maximum_amount": "30"}
    assert [charge(UNIT, q, commitments=same)[-1] for q in ("0", "3000", "9000")] == ["total 30.00"] * 3


def test_the_whole_order_in_one_card(charge: Charge) -> None:
    # 2,500,000 tokens: 2500 thousands; 100 free: 2400; at 0.25: 600.00; less 10 %: 540.00; at most 500.00
    lines = charge(
        {"type": "unit", "amount": "0.25"},
        "2500000",
        unit_conversion={"divide_by": "1000", "rounding": "ceiling"},
        discounts={"usage": "100", "percentage": "10"},
        commitments={"minimum_amount": "50.00", "maximum_amount": "500.00"},
    )
    assert lines == [
        "usage 2400 x 0.25 = 600.00",
        "discount 1 x -60.00 = -60.00",
        "maximum_spend 1 x -40.00 = -40.00",
        "total 500.00",
    ]
