"""Graduated price: each unit is priced in its own tier."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

from tollkeeper.rating.lines import ExactLine, PeriodUsage
from tollkeeper.rating.problems import CheckedModel
from tollkeeper.rating.tiers import Tiers, bounds_text, tier_lines


class GraduatedPrice(CheckedModel):
    """Units fill the tiers from the first one on; a tier's flat price is due once it is reached."""

    type: Literal["graduated"]
    tiers: Tiers

    def lines(self, usage: PeriodUsage) -> Iterator[ExactLine]:
        """Yield each reached tier's usage and flat price."""
        lower = Fraction(0)
        for index, tier in enumerate(self.tiers):
            if index > 0 and usage.quantity <= lower:
                return  # the first tier is reached at zero usage, too
            bound = None if tier.up_to is None else Fraction(tier.up_to)
            upper = usage.quantity if bound is None else min(usage.quantity, bound)
            yield from tier_lines(self.tiers, index, upper - lower, bounds_text(self.tiers, index))
            lower = upper if bound is None else bound
