"""Decimals as rate cards carry them: strings, of bounded size, never floats; and exact fractions."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from tollkeeper.money import EXACT, currency_exponent

# Bounds keep every product within the 100 digits of money.EXACT, and "1e999999999" out of memory.
MOST_DIGITS_BEFORE_POINT = 30
MOST_DIGITS_AFTER_POINT = 30
MOST_CHARACTERS = 100
# A quantity that has no finite decimal form (1/3) is shown with so many decimals; its amount stays exact.
SHOWN_DECIMALS = 12
MOST_SHOWN_DECIMALS = 60

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_JSON_SCHEMA = {
    "type": "string",
    "pattern": r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$",
    "examples": ["0.0025"],
}


def read_decimal(value: Any) -> Decimal:
    """Read a decimal from a string or a whole number; raises ValueError with the fix for anything else.

    A float is refused because it has lost the exact figure before we see it.
    """
    if isinstance(value, Decimal):
        return _within_bounds(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    text = str(value) if is_whole else value
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS or not _DECIMAL.fullmatch(text):
        raise ValueError(_fix(value))
    return _within_bounds(Decimal(text))


def _fix(value: Any) -> str:
    if isinstance(value, float):
        return f'{value!r} is a float, which is not exact; write it as a string, like "{value!r}"'
    if isinstance(value, str):
        return f'{value[:MOST_CHARACTERS]!r} is no decimal number; write it like "0.0025"'
    return 'must be a decimal number in a string, like "0.0025"'


def plain(value: Decimal) -> str:
    """Write a decimal without exponent, as it was given: "20.00", "0.0000001"."""
    return format(value, "f")


def _within_bounds(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError(f"{value} is no finite number")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if value.adjusted() >= MOST_DIGITS_BEFORE_POINT or exponent < -MOST_DIGITS_AFTER_POINT:
        raise ValueError(
            f"has too many digits; at most {MOST_DIGITS_BEFORE_POINT} before the point"
            f" and {MOST_DIGITS_AFTER_POINT} after it"
        )
    return value


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError("must be 0 or more")
    return value


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("must be more than 0")
    return value


def _whole(value: Decimal) -> Decimal:
    if value != value.to_integral_value():
        raise ValueError("must be a whole number")
    return value


def _at_most_hundred(value: Decimal) -> Decimal:
    if value > 100:
        raise ValueError("must be at most 100 per cent")
    return value


AnyDecimal = Annotated[
    Decimal,
    BeforeValidator(read_decimal),
    PlainSerializer(plain, return_type=str, when_used="json"),
    WithJsonSchema(_JSON_SCHEMA),
]
NonNegative = Annotated[AnyDecimal, AfterValidator(_not_negative)]
Positive = Annotated[AnyDecimal, AfterValidator(_positive)]
WholeNumber = Annotated[NonNegative, AfterValidator(_whole)]
Percentage = Annotated[NonNegative, AfterValidator(_at_most_hundred)]


def round_fraction(amount: Fraction, currency: str) -> int:
    """Round an exact amount in major units to integer minor units, half away from zero.

    The rule of money.round_to_minor, for amounts that no decimal can hold (a third of a month).
    """
    return round_half_up(amount * 10 ** currency_exponent(currency))


def round_half_up(number: Fraction) -> int:
    """Round to a whole number, half away from zero."""
    return round_ratio(number.numerator, number.denominator)


def round_ratio(numerator: int, denominator: int) -> int:
    """Round numerator / denominator, which is positive, to a whole number, half away from zero."""
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude


def to_decimal(number: Fraction) -> Decimal:
    """Return the decimal of a fraction without trailing zeros; one without a finite form is cut for showing."""
    denominator = number.denominator
    if denominator == 1:
        return Decimal(number.numerator)
    twos = (denominator & -denominator).bit_length() - 1
    denominator >>= twos
    fives = 0
    while denominator % 5 == 0:
        denominator //= 5
        fives += 1
    decimals = max(twos, fives)
    if denominator == 1 and decimals <= MOST_SHOWN_DECIMALS:
        return Decimal(round_half_up(number * 10**decimals)).scaleb(-decimals, EXACT)
    shown = Decimal(round_half_up(number * 10**SHOWN_DECIMALS)).scaleb(-SHOWN_DECIMALS, EXACT)
    return _without_trailing_zeros(shown)


def _without_trailing_zeros(number: Decimal) -> Decimal:
    return Decimal(number.to_integral_value()) if number == number.to_integral_value() else number.normalize(EXACT)
