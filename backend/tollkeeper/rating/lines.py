"""What a price model computes from, and the exact lines that it gives before rounding."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tollkeeper.money import currency_exponent
from tollkeeper.rating.decimals import round_ratio, to_decimal
from tollkeeper.rating.types import LineKind, RatedLine


@dataclass(frozen=True, slots=True)
class PeriodUsage:
    """The usage that a price model prices: converted, without free units, never negative."""

    quantity: Fraction
    event_count: int
    is_complete: bool
    fraction: Fraction


@dataclass(frozen=True, slots=True)
class ExactLine:
    """A line before rounding: `share` of quantity times unit price is due (less than 1 when prorated)."""

    kind: LineKind
    description: str
    quantity: Fraction
    unit_price: Decimal
    share: Fraction = Fraction(1)
    tier: int | None = None

    def rounded(self, currency: str) -> RatedLine:
        """Round the line's amount, once; in whole numbers, which is several times faster than fractions."""
        price = self.unit_price.as_integer_ratio()
        numerator = self.quantity.numerator * price[0] * self.share.numerator * 10 ** currency_exponent(currency)
        denominator = self.quantity.denominator * price[1] * self.share.denominator
        return RatedLine(
            self.kind,
            self.description,
            to_decimal(self.quantity),
            self.unit_price,
            round_ratio(numerator, denominator),
            self.tier,
        )
