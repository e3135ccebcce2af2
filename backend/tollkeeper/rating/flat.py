"""Flat price: an amount per period, in advance or in arrears, prorated by time; `quantity` counts seats."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from pydantic import Field

from tollkeeper.rating.decimals import NonNegative
from tollkeeper.rating.lines import ExactLine, PeriodUsage
from tollkeeper.rating.problems import CheckedModel
from tollkeeper.rating.types import LineKind


class FlatPrice(CheckedModel):
    """The same amount in each period, whatever the usage."""

    type: Literal["flat"]
    amount: NonNegative = Field(description="Price of one period, in major units.")
    payment_term: Literal["in_advance", "in_arrears"] = Field(
        default="in_advance", description="Due at the start of the period or at its end."
    )
    quantity: NonNegative = Field(default=Decimal(1), description="How many, such as seats.")

    def lines(self, usage: PeriodUsage) -> Iterator[ExactLine]:
        """Yield the fee; nothing for no seats, and nothing yet when it is due at the end of the period."""
        is_due = usage.is_complete or self.payment_term == "in_advance"
        if is_due and self.quantity > 0:
            yield ExactLine(
                LineKind.FLAT, _description(usage.fraction), Fraction(self.quantity), self.amount, usage.fraction
            )


def _description(fraction: Fraction) -> str:
    return "Flat fee" if fraction == 1 else f"Flat fee for {fraction} of the period"
