"""Volume price: every unit at the price of the tier that the total falls in."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

from tollkeeper.rating.lines import ExactLine, PeriodUsage
from tollkeeper.rating.problems import CheckedModel
from tollkeeper.rating.tiers import Tiers, bounds_text, tier_lines


class VolumePrice(CheckedModel):
    """The total chooses one tier; only that tier's unit price and flat price are due."""

    type: Literal["volume"]
    tiers: Tiers

    def lines(self, usage: PeriodUsage) -> Iterator[ExactLine]:
        """Yield the lines of the tier; none inside a period, whose total is not known yet."""
        if usage.is_complete:
            index = self._tier_of(usage.quantity)
            scope = f"every unit, total {bounds_text(self.tiers, index)}" if len(self.tiers) > 1 else "every unit"
            yield from tier_lines(self.tiers, index, usage.quantity, scope)

    def _tier_of(self, total: Fraction) -> int:
        return next(i for i, tier in enumerate(self.tiers) if tier.up_to is None or total <= Fraction(tier.up_to))
