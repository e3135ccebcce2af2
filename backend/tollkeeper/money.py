"""Currencies, exponents, how amounts are written, and the one rounding rule: half away from zero."""

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import cache

from babel.numbers import format_currency, format_decimal
from iso4217 import Currency

from tollkeeper.errors import InvalidInput

# Wide enough that a product of two quantities of 38 digits is exact; rating never rounds before a line ends.
EXACT = Context(prec=100, rounding=ROUND_HALF_UP)

LOCALE = "en"  # of everything that is written for people
MOST_DIGITS = 14  # of an amount that somebody writes


@cache
def currency_exponent(currency: str) -> int:
    """Return how many decimals the currency has (JPY 0, EUR 2, KWD 3), by ISO 4217's own table.

    Raises InvalidInput for a code that is no currency with a minor unit: an amount is never guessed.
    """
    try:
        exponent = Currency(currency).exponent
    except ValueError:
        exponent = None
    if exponent is None:
        raise InvalidInput.of("/currency", f"{currency!r} is no ISO 4217 currency; write it like 'EUR'")
    return int(exponent)


def is_currency(code: str) -> bool:
    """Tell whether amounts can be in it."""
    try:
        currency_exponent(code)
    except InvalidInput:
        return False
    return True


def round_to_minor(amount: Decimal, currency: str) -> int:
    """Round an amount in major units to integer minor units, half away from zero (docs/money.md, Rounding)."""
    exponent = currency_exponent(currency)
    return int(amount.scaleb(exponent, EXACT).quantize(Decimal(1), context=EXACT))


def minor_to_decimal(amount_minor: int, currency: str) -> Decimal:
    """Return minor units as a decimal in major units with the currency's exponent: 1999 EUR is 19.99."""
    return Decimal(amount_minor).scaleb(-currency_exponent(currency), EXACT)


def format_minor(amount_minor: int, currency: str) -> str:
    """Write minor units as a plain decimal string: "19.99", "-0.05", "500" (JPY)."""
    return format(minor_to_decimal(amount_minor, currency), "f")


def parse_decimal(text: str, path: str) -> Decimal:
    """Read a finite decimal from a string; raises InvalidInput at `path` for anything else."""
    try:
        number = Decimal(text)
    except (InvalidOperation, TypeError, ValueError):
        number = Decimal("NaN")
    if not number.is_finite():
        raise InvalidInput.of(path, f"{text!r} is no decimal number; write it like '0.0025'")
    return number


def parse_minor(text: str, currency: str, path: str) -> int:
    """Read an amount in major units as minor units; raises InvalidInput for what is no whole number of them."""
    number = parse_decimal(text, path)
    if number.adjusted() > MOST_DIGITS:
        raise InvalidInput.of(path, f"{text!r} is too large for an amount")
    scaled = number.scaleb(currency_exponent(currency), EXACT)
    if scaled != scaled.to_integral_value():
        raise InvalidInput.of(
            path, f"{text!r} has more decimals than {currency}, which has {currency_exponent(currency)}"
        )
    return int(scaled)


def write_number(number: Decimal | int | str | None) -> str:
    """Write a quantity with thousands separators and all of its decimals: 12,345.5."""
    if number is None:
        return "–"
    return format_decimal(Decimal(number), locale=LOCALE, decimal_quantization=False)


def write_money(amount_minor: int, currency: str) -> str:
    """Write minor units with the currency's sign and decimals: €1,234.50."""
    return format_currency(
        minor_to_decimal(amount_minor, currency),
        currency,
        locale=LOCALE,
        currency_digits=False,
        decimal_quantization=False,
    )


def write_price(amount: Decimal, currency: str) -> str:
    """Write a price of major units with all its decimals, which may be finer than the currency's: €0.0025."""
    in_minor = minor_to_decimal(round_to_minor(amount, currency), currency)
    shown = in_minor if in_minor == amount else amount.normalize()
    return format_currency(shown, currency, locale=LOCALE, currency_digits=False, decimal_quantization=False)
