"""Tax of sums at their rates: on top of them or inside them, rounded once for each rate, half away from zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tollkeeper.rating.decimals import round_half_up


@dataclass(frozen=True, slots=True)
class TaxBase:
    """What is left of the lines of one rate after coupons, and the rate, in per cent."""

    amount_minor: int
    percentage: Decimal


def taxes_on_top(bases: Sequence[TaxBase]) -> list[int]:
    """Return the tax that is added for each rate.

    Credits may leave less than zero at one rate, and with it a negative tax. Where sums of zero or more would
    come to less than zero by that, only so much of it is given as there is, the first rates first.
    """
    taxes = [round_half_up(base.amount_minor * Fraction(base.percentage) / 100) for base in bases]
    short = -sum(base.amount_minor for base in bases) - sum(taxes)
    for place in reversed(range(len(taxes))):
        cut = min(max(0, short), max(0, -taxes[place]))
        taxes[place] += cut
        short -= cut
    return taxes


def taxes_inside(bases: Sequence[TaxBase]) -> list[int]:
    """Return the tax that sums of gross amounts hold; the gross of a net sum holds what was added to it."""
    rates = [Fraction(base.percentage) for base in bases]
    return [round_half_up(base.amount_minor * rate / (100 + rate)) for base, rate in zip(bases, rates, strict=True)]
