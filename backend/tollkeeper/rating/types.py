"""What rating takes beside the rate card, and what it gives: lines that add up to the total."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction


class LineKind(StrEnum):
    """Why a line is there."""

    USAGE = "usage"
    FLAT = "flat"
    DISCOUNT = "discount"
    MAXIMUM_SPEND = "maximum_spend"
    MINIMUM_COMMITMENT = "minimum_commitment"


@dataclass(frozen=True, slots=True)
class RatedLine:
    """One line: `amount_minor` is rounded once and is what counts.

    `quantity` times `unit_price` is the amount before rounding and proration. `tier` is the place of the
    tier in the price's list, from 0, for lines that come from one.
    """

    kind: LineKind
    description: str
    quantity: Decimal
    unit_price: Decimal
    amount_minor: int
    tier: int | None = None


@dataclass(frozen=True, slots=True)
class Rated:
    """The lines of one rate card and one period; the total is their sum by construction."""

    lines: tuple[RatedLine, ...]

    @property
    def total_minor(self) -> int:
        """Return the sum of the lines in minor units."""
        return sum(line.amount_minor for line in self.lines)


@dataclass(frozen=True, slots=True)
class RatingOptions:
    """What rating needs to know beside rate card and quantity (docs/money.md).

    event_count: events behind the whole quantity, for percentage prices with an amount per event.
    already_billed_quantity: part of the quantity that earlier invoices of this period billed; None says that
        there was none, 0 that there was one at zero usage.
    complete: False for an invoice inside the period.
    period_fraction: elapsed part of the full period, for flat prices and the minimum (proration.py).
    """

    event_count: int = 0
    already_billed_quantity: Decimal | None = None
    complete: bool = True
    period_fraction: Fraction = Fraction(1)
