"""Amounts are rounded half away from zero to the currency's own exponent; a currency is never guessed."""

from decimal import Decimal

import pytest

from tollkeeper.errors import InvalidInput
from tollkeeper.money import currency_exponent, format_minor, minor_to_decimal, parse_decimal, round_to_minor


@pytest.mark.parametrize(
    ("currency", "exponent"),
    [("EUR", 2), ("USD", 2), ("JPY", 0), ("KWD", 3), ("ISK", 0), ("UGX", 0), ("BHD", 3), ("CLP", 0), ("HUF", 2)],
)
def test_a_currency_has_the_exponent_of_iso_4217(currency: str, exponent: int) -> None:
    assert currency_exponent(currency) == exponent


@pytest.mark.parametrize("currency", ["eur", "XXX", "XAU", "ABC", "", "EURO"])
def test_a_code_without_a_minor_unit_is_refused(currency: str) -> None:
    with pytest.raises(InvalidInput, match="ISO 4217"):
        currency_exponent(currency)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0.005", "EUR", 1),
        ("-0.005", "EUR", -1),
        ("0.0049999999999999999999999999999", "EUR", 0),
        ("2.345", "USD", 235),
        ("0.5", "JPY", 1),
        ("-1.5", "JPY", -2),
        ("1.0005", "KWD", 1001),
        ("123456789012345678901234567890.125", "EUR", 12345678901234567890123456789013),
    ],
)
def test_halves_are_rounded_away_from_zero(amount: str, currency: str, minor: int) -> None:
    assert round_to_minor(Decimal(amount), currency) == minor


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1999, "EUR", "19.99"), (-5, "EUR", "-0.05"), (500, "JPY", "500"), (1, "KWD", "0.001"), (0, "USD", "0.00")],
)
def test_minor_units_are_written_with_every_decimal(minor: int, currency: str, text: str) -> None:
    assert format_minor(minor, currency) == text
    assert minor_to_decimal(minor, currency) == Decimal(text)


@pytest.mark.parametrize("text", ["", "abc", "NaN", "Infinity", "1,5", "0x10"])
def test_what_is_no_number_is_refused_at_its_path(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_decimal(text, "/price/amount")
    assert refused.value.fields[0].path == "/price/amount"
