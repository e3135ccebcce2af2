"""Invoices inside a period: each sentence of docs/money.md on progressive billing."""

from collections.abc import Callable

import pytest

Charge = Callable[..., list[str]]
UNIT = {"type": "unit", "amount": "0.01"}
PACKAGE = {"type": "package", "amount": "5.00", "package_size": "1000"}
VOLUME = {
    "type": "volume",
    "tiers": [{"up_to": "100", "unit_price": "0.10", "flat_price": "1"}, {"unit_price": "0.05"}],
}
GRADUATED = {
    "type": "graduated",
    "tiers": [
        {"up_to": "1000", "unit_price": "0.02", "flat_price": "4.00"},
        {"up_to": None, "unit_price": "0.01", "flat_price": "6.00"},
    ],
}
PERCENTAGE = {"type": "percentage", "rate": "1.5", "fixed_amount": "0.10", "free_events": "10"}


def test_only_what_was_not_billed_is_due(charge: Charge) -> None:
    assert charge(UNIT, "1500", billed="1000") == ["usage 500 x 0.01 = 5.00", "total 5.00"]


def test_nothing_new_is_no_line(charge: Charge) -> None:
    assert charge(UNIT, "1000", billed="1000") == ["total 0.00"]


def test_a_quantity_below_the_billed_one_gives_a_negative_total(charge: Charge) -> None:
    assert charge(UNIT, "800", billed="1000") == ["usage -200 x 0.01 = -2.00", "total -2.00"]
    assert charge(UNIT, "-5", billed="1000") == ["usage -1000 x 0.01 = -10.00", "total -10.00"]


def test_the_difference_is_of_rounded_amounts(charge: Charge) -> None:
    # 0.0025 a unit: 3 units are 0.0075, billed as 0.01; 6 units are 0.015, so 0.02; what is left is 0.01
    price = {"type": "unit", "amount": "0.0025"}
    assert charge(price, "3", complete=False)[-1] == "total 0.01"
    assert charge(price, "6", billed="3")[-1] == "total 0.01"
    assert charge(price, "6")[-1] == "total 0.02"


def test_absent_and_zero_differ_by_the_first_tier_s_flat_price(charge: Charge) -> None:
    assert charge(GRADUATED, "0") == ["flat 1 x 4.00 = 4.00", "total 4.00"]
    assert charge(GRADUATED, "0", billed="0") == ["total 0.00"]
    assert charge(GRADUATED, "500", billed="0") == ["usage 500 x 0.02 = 10.00", "total 10.00"]


def test_absent_and_zero_differ_by_the_fee_in_advance(charge: Charge) -> None:
    price = {"type": "flat", "amount": "20.00", "payment_term": "in_advance"}
    assert charge(price, "0")[-1] == "total 20.00"
    assert charge(price, "0", billed="0") == ["total 0.00"]
    assert charge(price, "900", billed="300") == ["total 0.00"]


def test_a_fee_in_advance_is_on_the_first_invoice_inside_the_period(charge: Charge) -> None:
    price = {"type": "flat", "amount": "20.00", "payment_term": "in_advance"}
    assert charge(price, "0", complete=False)[-1] == "total 20.00"
    assert charge(price, "300", billed="0", complete=False) == ["total 0.00"]


def test_a_fee_in_arrears_waits_for_the_closing_invoice(charge: Charge) -> None:
    price = {"type": "flat", "amount": "20.00", "payment_term": "in_arrears"}
    assert charge(price, "500", complete=False) == ["total 0.00"]
    assert charge(price, "900", billed="500", complete=False) == ["total 0.00"]
    assert charge(price, "1500", billed="900") == ["flat 1 x 20.00 = 20.00", "total 20.00"]


def test_the_minimum_waits_for_the_closing_invoice(charge: Charge) -> None:
    minimum = {"minimum_amount": "50.00"}
    assert charge(UNIT, "1000", complete=False, commitments=minimum) == ["usage 1000 x 0.01 = 10.00", "total 10.00"]
    # 12.00 of usage, of which 10.00 was billed; 38.00 are missing to 50.00; 10.00 + 40.00 is the minimum
    assert charge(UNIT, "1200", billed="1000", commitments=minimum) == [
        "usage 200 x 0.01 = 2.00",
        "minimum_commitment 1 x 38.00 = 38.00",
        "total 40.00",
    ]


def test_a_volume_price_waits_for_the_closing_invoice(charge: Charge) -> None:
    assert charge(VOLUME, "90", complete=False) == ["total 0.00"]
    assert charge(VOLUME, "150", billed="90") == ["usage 150 x 0.05 = 7.50", "total 7.50"]
    assert charge(VOLUME, "90", billed="0") == ["usage 90 x 0.10 = 9.00", "flat 1 x 1 = 1.00", "total 10.00"]


def test_an_invoice_inside_the_period_bills_the_tiers_reached_so_far(charge: Charge) -> None:
    assert charge(GRADUATED, "1000", complete=False) == [
        "usage 1000 x 0.02 = 20.00",
        "flat 1 x 4.00 = 4.00",
        "total 24.00",
    ]
    assert charge(GRADUATED, "1500", billed="1000") == [
        "usage 500 x 0.01 = 5.00",
        "flat 1 x 6.00 = 6.00",
        "total 11.00",
    ]


def test_a_tier_that_is_reached_no_more_comes_back(charge: Charge) -> None:
    assert charge(GRADUATED, "900", billed="1500") == [
        "usage -100 x 0.02 = -2.00",
        "usage -500 x 0.01 = -5.00",
        "flat -1 x 6.00 = -6.00",
        "total -13.00",
    ]


def test_a_started_package_is_billed_once(charge: Charge) -> None:
    assert charge(PACKAGE, "400", complete=False)[-1] == "total 5.00"
    assert charge(PACKAGE, "1000", billed="400") == ["total 0.00"]
    assert charge(PACKAGE, "1001", billed="400") == ["usage 1 x 5.00 = 5.00", "total 5.00"]


def test_free_units_are_free_once_in_the_period(charge: Charge) -> None:
    free = {"usage": "1000"}
    assert charge(UNIT, "800", complete=False, discounts=free) == ["total 0.00"]
    assert charge(UNIT, "1500", billed="800", discounts=free) == ["usage 500 x 0.01 = 5.00", "total 5.00"]


def test_the_discount_is_the_difference_of_the_discounts(charge: Charge) -> None:
    # 10 % of 10.00 was billed as -1.00; 10 % of 15.05 is 1.505, so -1.51; -0.51 is left
    assert charge(UNIT, "1505", billed="1000", discounts={"percentage": "10"}) == [
        "usage 505 x 0.01 = 5.05",
        "discount 1 x -0.51 = -0.51",
        "total 4.54",
    ]


def test_a_discount_that_was_given_too_far_comes_back(charge: Charge) -> None:
    assert charge(UNIT, "500", billed="1000", discounts={"percentage": "10"}) == [
        "usage -500 x 0.01 = -5.00",
        "discount 1 x 0.50 = 0.50",
        "total -4.50",
    ]


def test_the_maximum_holds_for_the_period_not_for_the_invoice(charge: Charge) -> None:
    at_most = {"maximum_amount": "12.00"}
    assert charge(UNIT, "1000", complete=False, commitments=at_most)[-1] == "total 10.00"
    assert charge(UNIT, "1500", billed="1000", commitments=at_most) == [
        "usage 500 x 0.01 = 5.00",
        "maximum_spend 1 x -3.00 = -3.00",
        "total 2.00",
    ]
    assert charge(UNIT, "2000", billed="1500", commitments=at_most) == [
        "usage 500 x 0.01 = 5.00",
        "maximum_spend 1 x -5.00 = -5.00",
        "total 0.00",
    ]


def test_the_rate_of_a_percentage_price_is_billed_as_it_comes(charge: Charge) -> None:
    assert charge(PERCENTAGE, "200", events=6, complete=False) == ["usage 200 x 0.015 = 3.00", "total 3.00"]
    assert charge(PERCENTAGE, "300", billed="200", events=12)[0] == "usage 100 x 0.015 = 1.50"


def test_the_amount_per_event_waits_for_the_closing_invoice(charge: Charge) -> None:
    assert charge(PERCENTAGE, "200", events=15, complete=False)[-1] == "total 3.00"
    assert charge(PERCENTAGE, "200", events=15, billed="200") == ["usage 5 x 0.10 = 0.50", "total 0.50"]


def test_a_dynamic_price_is_billed_as_it_comes(charge: Charge) -> None:
    assert charge({"type": "dynamic", "multiplier": "1.2"}, "10", billed="4")[-1] == "total 7.20"


def test_a_conversion_rounds_the_whole_quantity_not_its_parts(charge: Charge) -> None:
    terms = {"unit_conversion": {"divide_by": "1000", "rounding": "ceiling"}}
    price = {"type": "unit", "amount": "1"}
    assert charge(price, "1500", complete=False, **terms)[-1] == "total 2.00"
    assert charge(price, "1900", billed="1500", **terms)[-1] == "total 0.00"
    assert charge(price, "2100", billed="1900", **terms)[-1] == "total 1.00"


@pytest.mark.parametrize("splits", [["0"], ["700"], ["300", "1000"], ["0", "1000", "1000.5", "1500"], ["2500", "900"]])
def test_splitting_a_period_never_changes_its_total(charge: Charge, splits: list[str]) -> None:
    terms = {
        "discounts": {"percentage": "7.5", "usage": "3"},
        "commitments": {"minimum_amount": "25.00", "maximum_amount": "30.00"},
    }
    totals = []
    billed = None
    for quantity in splits:
        totals.append(charge(GRADUATED, quantity, billed=billed, complete=False, **terms)[-1])
        billed = quantity
    totals.append(charge(GRADUATED, "1500", billed=billed, **terms)[-1])
    cents = [int(total.removeprefix("total ").replace(".", "")) for total in totals]
    # 1497 units: 20.00 + 4.00 + 4.97 + 6.00 = 34.97, less 7.5 % (2.62) 32.35, at most 30.00
    assert sum(cents) == 3000
