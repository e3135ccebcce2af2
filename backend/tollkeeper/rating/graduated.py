"""Graduated price: each unit is priced in its own tier."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from tollkeeper.rating.lines import ExactLine, PeriodUsage
from tollkeeper.rating.problems import CheckedModel
from tollkeeper.rating.tiers import Tiers, bounds_text, is_reached, tier_lines


class GraduatedPrice(CheckedModel):
    """Units fill the tiers from the first one on; a tier's flat price is due once it is reached."""

    type: Literal["graduated"]
    tiers: Tiers

    def lines(self, usage: PeriodUsage) -> Iterator[ExactLine]:
        """Yield each reached tier's usage and flat price."""
        lower = Decimal(0)
        for index, tier in enumerate(self.tiers):
            if not is_reached(lower, usage.quantity, is_first=index == 0):
                return
            upper = usage.quantity if tier.up_to is None else min(usage.quantity, Fraction(tier.up_to))
            yield from tier_lines(self.tiers, index, upper - Fraction(lower), bounds_text(self.tiers, index))
            lower = tier.up_to or lower
