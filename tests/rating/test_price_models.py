"""Each price model against amounts worked out by hand."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tollkeeper.errors import InvalidInput
from tollkeeper.rating.decimals import round_half_up, to_decimal
from tollkeeper.rating.rate import rate
from tollkeeper.rating.reading import read_document
from tollkeeper.rating.statement import statement_of
from tollkeeper.rating.terms import RatingTerms

Charge = Callable[..., list[str]]
UNIT = {"type": "unit", "amount": "0.0025"}
GRADUATED = {
    "type": "graduated",
    "tiers": [
        {"up_to": "1000", "unit_price": "0", "flat_price": "0"},
        {"up_to": "5000", "unit_price": "0.01"},
        {"up_to": None, "unit_price": "0.005", "flat_price": "3.00"},
    ],
}
VOLUME = {
    "type": "volume",
    "tiers": [
        {"up_to": "100", "unit_price": "0.10", "flat_price": "1.00"},
        {"up_to": None, "unit_price": "0.05", "flat_price": "2.00"},
    ],
}
PACKAGE = {"type": "package", "amount": "5.00", "package_size": "1000"}
PERCENTAGE = {"type": "percentage", "rate": "1.5", "fixed_amount": "0.10", "free_events": "10"}


def test_a_flat_price_is_due_whatever_the_usage(charge: Charge) -> None:
    price = {"type": "flat", "amount": "20.00", "payment_term": "in_advance"}
    assert charge(price, "0") == ["flat 1 x 20.00 = 20.00", "total 20.00"]
    assert charge(price, "1500") == ["flat 1 x 20.00 = 20.00", "total 20.00"]
    assert charge(price, "-3") == ["flat 1 x 20.00 = 20.00", "total 20.00"]


def test_a_flat_price_counts_seats(charge: Charge) -> None:
    price = {"type": "flat", "amount": "12.50", "quantity": "3"}
    assert charge(price, "0") == ["flat 3 x 12.50 = 37.50", "total 37.50"]


def test_no_seats_cost_nothing(charge: Charge) -> None:
    assert charge({"type": "flat", "amount": "12.50", "quantity": "0"}, "9") == ["total 0.00"]


def test_a_free_flat_price_is_shown_as_a_line_of_zero(charge: Charge) -> None:
    assert charge({"type": "flat", "amount": "0"}, "0") == ["flat 1 x 0 = 0.00", "total 0.00"]


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("0", ["total 0.00"]),
        ("1500", ["usage 1500 x 0.0025 = 3.75", "total 3.75"]),
        ("1", ["usage 1 x 0.0025 = 0.00", "total 0.00"]),
        ("2", ["usage 2 x 0.0025 = 0.01", "total 0.01"]),  # 0.005: half away from zero
        ("0.5", ["usage 0.5 x 0.0025 = 0.00", "total 0.00"]),
        ("1500.00", ["usage 1500 x 0.0025 = 3.75", "total 3.75"]),
        ("-4", ["total 0.00"]),
    ],
)
def test_a_unit_price_is_quantity_times_amount(charge: Charge, quantity: str, expected: list[str]) -> None:
    assert charge(UNIT, quantity) == expected


@pytest.mark.parametrize(
    ("currency", "amount", "expected"),
    [
        ("JPY", "0.5", "1"),  # no decimals: half a yen is rounded up
        ("JPY", "0.499", "0"),
        ("KWD", "0.0005", "0.001"),  # three decimals
        ("KWD", "0.00049", "0.000"),
        ("EUR", "0.005", "0.01"),
        ("UYW", "0.00005", "0.0001"),  # four decimals
    ],
)
def test_amounts_are_rounded_to_the_currency_s_exponent(
    charge: Charge, currency: str, amount: str, expected: str
) -> None:
    assert charge({"type": "unit", "amount": amount}, "1", currency=currency)[-1] == f"total {expected}"


def test_a_huge_quantity_at_a_tiny_price_is_exact(charge: Charge) -> None:
    price = {"type": "unit", "amount": "0.000000000000000001"}
    quantity = "123456789012345678901234567890"
    # 123456789012345678901234567890e-18 = 123456789012.345678901234567890
    assert charge(price, quantity)[-1] == "total 123456789012.35"


def test_an_exponent_is_read_as_the_number_that_it_is(charge: Charge) -> None:
    assert charge({"type": "unit", "amount": "1E-7"}, "1000000") == ["usage 1000000 x 0.0000001 = 0.10", "total 0.10"]


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("0", ["total 0.00"]),
        ("1000", ["usage 1000 x 0 = 0.00", "total 0.00"]),
        ("1000.5", ["usage 1000 x 0 = 0.00", "usage 0.5 x 0.01 = 0.01", "total 0.01"]),
        ("1500", ["usage 1000 x 0 = 0.00", "usage 500 x 0.01 = 5.00", "total 5.00"]),
        ("5000", ["usage 1000 x 0 = 0.00", "usage 4000 x 0.01 = 40.00", "total 40.00"]),
        (
            "5000.001",
            [
                "usage 1000 x 0 = 0.00",
                "usage 4000 x 0.01 = 40.00",
                "usage 0.001 x 0.005 = 0.00",
                "flat 1 x 3.00 = 3.00",
                "total 43.00",
            ],
        ),
        (
            "7000",
            [
                "usage 1000 x 0 = 0.00",
                "usage 4000 x 0.01 = 40.00",
                "usage 2000 x 0.005 = 10.00",
                "flat 1 x 3.00 = 3.00",
                "total 53.00",
            ],
        ),
    ],
)
def test_graduated_prices_each_unit_in_its_own_tier(charge: Charge, quantity: str, expected: list[str]) -> None:
    assert charge(GRADUATED, quantity) == expected


def test_the_first_tier_s_flat_price_is_due_at_zero_usage(charge: Charge) -> None:
    tiers = [{"up_to": "10", "unit_price": "1", "flat_price": "4.00"}, {"up_to": None, "flat_price": "6.00"}]
    assert charge({"type": "graduated", "tiers": tiers}, "0") == ["flat 1 x 4.00 = 4.00", "total 4.00"]
    assert charge({"type": "volume", "tiers": tiers}, "0") == ["flat 1 x 4.00 = 4.00", "total 4.00"]
    assert charge({"type": "graduated", "tiers": tiers}, "-1") == ["flat 1 x 4.00 = 4.00", "total 4.00"]


def test_a_reached_tier_keeps_the_flat_prices_below_it(charge: Charge) -> None:
    tiers = [{"up_to": "10", "flat_price": "4.00"}, {"up_to": None, "flat_price": "6.00"}]
    assert charge({"type": "graduated", "tiers": tiers}, "11") == [
        "usage 10 x 0 = 0.00",
        "flat 1 x 4.00 = 4.00",
        "usage 1 x 0 = 0.00",
        "flat 1 x 6.00 = 6.00",
        "total 10.00",
    ]


def test_each_tier_line_is_rounded_by_itself(charge: Charge) -> None:
    tiers = [{"up_to": "1", "unit_price": "0.005"}, {"up_to": None, "unit_price": "0.005"}]
    # 0.005 + 0.005 rounded line by line is 0.02; rounded once it would be 0.01
    assert charge({"type": "graduated", "tiers": tiers}, "2")[-1] == "total 0.02"


def test_one_open_tier_is_a_whole_price(charge: Charge) -> None:
    price = {"type": "graduated", "tiers": [{"unit_price": "0.02"}]}
    assert charge(price, "10") == ["usage 10 x 0.02 = 0.20", "total 0.20"]


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("100", ["usage 100 x 0.10 = 10.00", "flat 1 x 1.00 = 1.00", "total 11.00"]),
        ("100.01", ["usage 100.01 x 0.05 = 5.00", "flat 1 x 2.00 = 2.00", "total 7.00"]),  # 5.0005
        ("101", ["usage 101 x 0.05 = 5.05", "flat 1 x 2.00 = 2.00", "total 7.05"]),
        ("1000", ["usage 1000 x 0.05 = 50.00", "flat 1 x 2.00 = 2.00", "total 52.00"]),
    ],
)
def test_volume_prices_every_unit_in_the_tier_of_the_total(charge: Charge, quantity: str, expected: list[str]) -> None:
    assert charge(VOLUME, quantity) == expected


@pytest.mark.parametrize(
    ("quantity", "packages", "total"),
    [("1", 1, "5.00"), ("0.001", 1, "5.00"), ("1000", 1, "5.00"), ("1000.5", 2, "10.00"), ("2001", 3, "15.00")],
)
def test_each_started_package_is_charged(charge: Charge, quantity: str, packages: int, total: str) -> None:
    assert charge(PACKAGE, quantity) == [f"usage {packages} x 5.00 = {total}", f"total {total}"]


@pytest.mark.parametrize("quantity", ["0", "-1", "0.000"])
def test_zero_usage_is_zero_packages(charge: Charge, quantity: str) -> None:
    assert charge(PACKAGE, quantity) == ["total 0.00"]


def test_a_package_may_be_a_fraction(charge: Charge) -> None:
    price = {"type": "package", "amount": "0.30", "package_size": "0.1"}
    assert charge(price, "0.3") == ["usage 3 x 0.30 = 0.90", "total 0.90"]  # binary floats make 4 packages of it


def test_a_dynamic_price_multiplies_the_cost(charge: Charge) -> None:
    price = {"type": "dynamic", "multiplier": "1.2"}
    assert charge(price, "10.37") == ["usage 10.37 x 1.2 = 12.44", "total 12.44"]  # 12.444
    assert charge(price, "0") == ["total 0.00"]


@pytest.mark.parametrize(
    ("quantity", "events", "expected"),
    [
        ("200", 12, ["usage 200 x 0.015 = 3.00", "usage 2 x 0.10 = 0.20", "total 3.20"]),
        ("200", 10, ["usage 200 x 0.015 = 3.00", "total 3.00"]),
        ("200", 4, ["usage 200 x 0.015 = 3.00", "total 3.00"]),  # six free events are left over and forgotten
        ("0", 12, ["usage 2 x 0.10 = 0.20", "total 0.20"]),  # twelve events that moved no money
        ("-5", 11, ["usage 1 x 0.10 = 0.10", "total 0.10"]),
        ("0", 0, ["total 0.00"]),
        ("33.35", 0, ["usage 33.35 x 0.015 = 0.50", "total 0.50"]),  # 0.50025
    ],
)
def test_a_percentage_price_is_a_rate_and_an_amount_per_event(
    charge: Charge, quantity: str, events: int, expected: list[str]
) -> None:
    assert charge(PERCENTAGE, quantity, events=events) == expected


def test_a_rate_alone_needs_no_events(charge: Charge) -> None:
    assert charge({"type": "percentage", "rate": "2.9"}, "1000")[-1] == "total 29.00"


def test_the_line_of_a_tier_names_its_tier() -> None:
    document: dict[str, Any] = {"price": GRADUATED}
    rated = rate(read_document(RatingTerms, document, what="rate card"), "USD", Decimal(7000))
    assert [(line.tier, line.description) for line in rated.lines] == [
        (0, "Tier 1: up to 1000"),
        (1, "Tier 2: above 1000 up to 5000"),
        (2, "Tier 3: above 5000"),
        (2, "Tier 3: flat price"),
    ]


def test_the_largest_figures_that_a_card_takes_are_exact() -> None:
    nines = "9" * 30
    card = {"price": {"type": "unit", "amount": nines}, "unit_conversion": {"multiply_by": nines}}
    rated = rate(read_document(RatingTerms, card, what="rate card"), "UYW", Decimal(nines))
    assert rated.total_minor == int(nines) ** 3 * 10_000
    assert statement_of(rated, "UYW")["total"] == f"{int(nines) ** 3}.0000"


@pytest.mark.parametrize(
    ("number", "rounded"),
    [("1/2", 1), ("-1/2", -1), ("3/2", 2), ("-3/2", -2), ("5/2", 3), ("1/3", 0), ("-1/3", 0), ("-2/3", -1), ("7", 7)],
)
def test_half_is_rounded_away_from_zero(number: str, rounded: int) -> None:
    assert round_half_up(Fraction(number)) == rounded


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("1500", "1500"),
        ("3/2", "1.5"),
        ("1/3", "0.333333333333"),
        ("2/3", "0.666666666667"),
        ("1/1024", "0.0009765625"),
    ],
)
def test_a_quantity_is_shown_without_trailing_zeros(number: str, shown: str) -> None:
    assert format(to_decimal(Fraction(number)), "f") == shown


def test_what_is_no_decimal_is_not_rated() -> None:
    for quantity in (1.5, 3, Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(InvalidInput, match="/quantity"):
            rate(RatingTerms(), "USD", quantity)  # type: ignore[arg-type]  # what a careless caller could pass


def test_an_unknown_currency_is_not_rated() -> None:
    with pytest.raises(InvalidInput, match="/currency"):
        rate(read_document(RatingTerms, {"price": UNIT}, what="rate card"), "XYZ", Decimal(1))


def test_a_card_without_a_price_charges_nothing() -> None:
    assert rate(RatingTerms(), "USD", Decimal(100)).lines == ()
