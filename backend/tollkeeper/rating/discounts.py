"""Discounts of a rate card: free units before the price, a percentage after it."""

from decimal import Decimal
from fractions import Fraction

from pydantic import Field

from tollkeeper.money import minor_to_decimal
from tollkeeper.rating.decimals import NonNegative, Percentage, plain, round_half_up
from tollkeeper.rating.problems import CheckedModel
from tollkeeper.rating.types import LineKind, RatedLine


class Discounts(CheckedModel):
    """`usage` units of each period are free; `percentage` is taken off what the rest costs."""

    percentage: Percentage = Field(default=Decimal(0), description="Per cent off the lines of the rate card.")
    usage: NonNegative = Field(default=Decimal(0), description="Free units of each period, after conversion.")


def without_free_units(quantity: Fraction, discounts: Discounts) -> Fraction:
    """Return what is left to price; free units that were not used are not kept."""
    return max(Fraction(0), quantity - Fraction(discounts.usage))


def percentage_lines(sum_minor: int, discounts: Discounts, currency: str) -> list[RatedLine]:
    """Return the discount on the sum of the rounded lines as one negative line; none if it comes to zero."""
    off_minor = round_half_up(sum_minor * Fraction(discounts.percentage) / 100)
    if off_minor == 0:
        return []
    description = f"Discount of {plain(discounts.percentage)} %"
    return [single_line(LineKind.DISCOUNT, description, -off_minor, currency)]


def single_line(kind: LineKind, description: str, amount_minor: int, currency: str) -> RatedLine:
    """Return a line that is an amount and nothing more: quantity 1 at that price."""
    return RatedLine(kind, description, Decimal(1), minor_to_decimal(amount_minor, currency), amount_minor)
