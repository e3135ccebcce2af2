"""A wrong rate card is refused with the path of every wrong field."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from tollkeeper.errors import InvalidInput
from tollkeeper.rating.graduated import GraduatedPrice
from tollkeeper.rating.reading import read_document
from tollkeeper.rating.terms import RatingTerms
from tollkeeper.rating.tiers import Tier

UNIT = {"type": "unit", "amount": "0.01"}


def refused(document: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        read_document(RatingTerms, document, what="rate card")
    return {field.path: field.message for field in caught.value.fields}


def tiers(*tiers: dict[str, Any]) -> dict[str, Any]:
    return {"price": {"type": "graduated", "tiers": list(tiers)}}


@pytest.mark.parametrize("model", ["graduated", "volume"])
@pytest.mark.parametrize(
    ("bounds", "paths"),
    [
        (["1000", "900", None], ["/price/tiers/1/up_to"]),
        (["1000", "1000", None], ["/price/tiers/1/up_to"]),
        (["1000", "1000.0", None], ["/price/tiers/1/up_to"]),
        (["1000", None, None], ["/price/tiers/1/up_to"]),
        ([None, "1000", None], ["/price/tiers/0/up_to"]),
        (["1000", "2000"], ["/price/tiers/1/up_to"]),
        (["0", None], ["/price/tiers/0/up_to"]),
        (["-5", None], ["/price/tiers/0/up_to"]),
        (["3", "2", "1", None], ["/price/tiers/1/up_to", "/price/tiers/2/up_to"]),
        (["5", "x", "4", None], ["/price/tiers/1/up_to", "/price/tiers/2/up_to"]),
        ([], ["/price/tiers"]),
    ],
)
def test_tiers_out_of_order_are_named(model: str, bounds: list[str | None], paths: list[str]) -> None:
    price = {"type": model, "tiers": [{"up_to": bound, "unit_price": "1"} for bound in bounds]}
    assert list(refused({"price": price})) == paths


def test_a_tier_without_any_price_is_refused() -> None:
    assert refused(tiers({"up_to": "10", "unit_price": "0"}, {"up_to": None})) == {
        "/price/tiers/1": 'needs a unit_price, a flat_price or both ("0" is a price)'
    }


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        (0.01, '0.01 is a float, which is not exact; write it as a string, like "0.01"'),
        (1e-7, '1e-07 is a float, which is not exact; write it as a string, like "1e-07"'),
        (True, 'must be a decimal number in a string, like "0.0025"'),
        (None, 'must be a decimal number in a string, like "0.0025"'),
        ([], 'must be a decimal number in a string, like "0.0025"'),
        ("", "'' is no decimal number; write it like \"0.0025\""),
        ("1,000", "'1,000' is no decimal number; write it like \"0.0025\""),
        ("1_000", "'1_000' is no decimal number; write it like \"0.0025\""),
        (" 1", "' 1' is no decimal number; write it like \"0.0025\""),
        ("NaN", "'NaN' is no decimal number; write it like \"0.0025\""),
        ("Infinity", "'Infinity' is no decimal number; write it like \"0.0025\""),
        ("١", "'١' is no decimal number; write it like \"0.0025\""),
        ("-0.01", "must be 0 or more"),
        ("1e99", "has too many digits; at most 30 before the point and 30 after it"),
        ("1e-31", "has too many digits; at most 30 before the point and 30 after it"),
        (10**40, "has too many digits; at most 30 before the point and 30 after it"),
    ],
)
def test_an_amount_that_is_no_decimal_string_is_refused_with_the_fix(amount: Any, message: str) -> None:
    assert refused({"price": {"type": "unit", "amount": amount}}) == {"/price/amount": message}


def test_a_whole_number_is_taken_for_a_decimal() -> None:
    card = read_document(RatingTerms, {"price": {"type": "unit", "amount": 3}}, what="rate card")
    assert card.model_dump(mode="json")["price"] == {"type": "unit", "amount": "3"}


def test_a_card_is_written_as_it_was_read() -> None:
    price = {"type": "package", "amount": "5.00", "package_size": "1000"}
    card = read_document(RatingTerms, {"price": price}, what="rate card")
    assert card.model_dump(mode="json", exclude_none=True) == {"price": price}


@pytest.mark.parametrize(
    ("card", "paths"),
    [
        ({"price": UNIT, "prise": 1}, ["/prise"]),
        ({"price": {**UNIT, "currency": "USD"}}, ["/price/currency"]),
        (tiers({"unit_price": "1", "unit": "2"}), ["/price/tiers/0/unit"]),
        ({"price": {"type": "unit"}}, ["/price/amount"]),
        ({"price": {"type": "monthly", "amount": "1"}}, ["/price/type"]),
        ({"price": {"type": ["unit"], "amount": "1"}}, ["/price/type"]),
        ({"price": {"amount": "1"}}, ["/price/type"]),
        ({"price": "1"}, ["/price"]),
        ({"price": {"type": "graduated"}}, ["/price/tiers"]),
        ({"price": {"type": "graduated", "tiers": {}}}, ["/price/tiers"]),
        ({"price": {"type": "graduated", "tiers": [7]}}, ["/price/tiers/0"]),
        ({"price": {"type": "package", "amount": "1", "package_size": "0"}}, ["/price/package_size"]),
        ({"price": {"type": "percentage", "rate": "1", "free_events": "1.5"}}, ["/price/free_events"]),
        ({"price": {"type": "flat", "amount": "1", "payment_term": "later"}}, ["/price/payment_term"]),
        # A field that is named like the price's type is not taken for it.
        (
            {"price": {"type": "package", "amount": "1", "package": "1000"}},
            ["/price/package_size", "/price/package"],
        ),
        ({"price": {"type": "percentage", "percentage": "1.5"}}, ["/price/rate", "/price/percentage"]),
        ({"price": {"type": "unit", "unit": "GB", "amount": "-1"}}, ["/price/amount", "/price/unit"]),
        ({"price": UNIT, "unit_conversion": {"divide_by": "0"}}, ["/unit_conversion/divide_by"]),
        ({"price": UNIT, "unit_conversion": {"rounding": "floor"}}, ["/unit_conversion"]),
        (
            {"price": UNIT, "unit_conversion": {"divide_by": "2", "multiply_by": "2"}},
            ["/unit_conversion/multiply_by"],
        ),
        (
            {"price": UNIT, "unit_conversion": {"divide_by": "2", "rounding": "up"}},
            ["/unit_conversion/rounding"],
        ),
        ({"price": UNIT, "discounts": {"percentage": "100.01"}}, ["/discounts/percentage"]),
        ({"price": UNIT, "discounts": {"usage": "-1"}}, ["/discounts/usage"]),
        (
            {"price": UNIT, "commitments": {"minimum_amount": "2", "maximum_amount": "1"}},
            ["/commitments/minimum_amount"],
        ),
        ([], [""]),
        ("unit", [""]),
        (None, [""]),
    ],
)
def test_the_wrong_field_is_named(card: Any, paths: list[str]) -> None:
    assert list(refused(card)) == paths


@pytest.mark.parametrize(
    ("terms", "path"),
    [
        ({"commitments": {"minimum_amount": "1"}}, "/commitments"),
        ({"commitments": {"maximum_amount": "1"}}, "/commitments"),
        ({"unit_conversion": {"divide_by": "2"}}, "/unit_conversion"),
        ({"discounts": {"usage": "5"}}, "/discounts/usage"),
    ],
)
def test_a_flat_price_takes_nothing_that_is_about_usage(terms: dict[str, Any], path: str) -> None:
    assert list(refused({"price": {"type": "flat", "amount": "20.00"}, **terms})) == [path]


def test_a_type_that_no_price_has_is_answered_with_those_that_there_are() -> None:
    types = "'flat', 'unit', 'graduated', 'volume', 'package', 'dynamic', 'percentage'"
    assert refused({"price": {"type": "monthly"}}) == {"/price/type": f"must be one of {types}"}
    assert refused({"price": {"amount": "1"}}) == {"/price/type": "is missing"}


def test_every_wrong_field_is_named_at_once() -> None:
    card = {
        "price": {
            "type": "graduated",
            "tiers": [
                {"up_to": "1000", "unit_price": 0.1},
                {"up_to": "900", "unit_price": "-1"},
                {"up_to": None, "flat_price": "1", "flat": "2"},
            ],
        },
        "unit_conversion": {},
        "discounts": {"percentage": "110"},
        "commitments": {"minimum_amount": "5", "maximum_amount": "3"},
        "colour": "red",
    }
    assert sorted(refused(card)) == [
        "/colour",
        "/commitments/minimum_amount",
        "/discounts/percentage",
        "/price/tiers/0/unit_price",
        "/price/tiers/1/unit_price",
        "/price/tiers/1/up_to",
        "/price/tiers/2/flat",
        "/unit_conversion",
    ]


def test_null_is_as_good_as_absent_where_a_field_may_be_absent() -> None:
    card = {
        "price": {"type": "graduated", "tiers": [{"up_to": None, "unit_price": "1", "flat_price": None}]},
        "unit_conversion": {"divide_by": "2", "multiply_by": None, "rounding": None},
        "discounts": {"usage": None, "percentage": "5"},
        "commitments": None,
    }
    assert read_document(RatingTerms, card, what="rate card").model_dump(mode="json") == {
        "price": {"type": "graduated", "tiers": [{"up_to": None, "unit_price": "1", "flat_price": "0"}]},
        "unit_conversion": {"divide_by": "2", "multiply_by": None, "rounding": "none"},
        "discounts": {"usage": "0", "percentage": "5"},
        "commitments": None,
    }
    assert list(refused({"price": {"type": "unit", "amount": None}})) == ["/price/amount"]
    assert list(refused(tiers({"up_to": None, "unit_price": None, "flat_price": None}))) == ["/price/tiers/0"]


def test_too_many_tiers_are_refused() -> None:
    many = [{"up_to": str(bound), "unit_price": "1"} for bound in range(1, 1001)]
    assert "/price/tiers" in refused({"price": {"type": "graduated", "tiers": [*many, {"unit_price": "1"}]}})


def test_a_card_built_in_python_is_checked_as_well() -> None:
    with pytest.raises(ValidationError, match="last tier must be open"):
        GraduatedPrice(type="graduated", tiers=(Tier(up_to=Decimal(5), unit_price=Decimal(1)),))
