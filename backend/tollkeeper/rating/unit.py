"""Unit price: each unit costs the same."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tollkeeper.rating.decimals import NonNegative
from tollkeeper.rating.lines import ExactLine, PeriodUsage
from tollkeeper.rating.problems import CheckedModel
from tollkeeper.rating.types import LineKind


class UnitPrice(CheckedModel):
    """Quantity times amount."""

    type: Literal["unit"]
    amount: NonNegative = Field(description="Price of one unit, in major units; may be finer than the currency.")

    def lines(self, usage: PeriodUsage) -> Iterator[ExactLine]:
        """Yield one line; none at zero usage."""
        if usage.quantity > 0:
            yield ExactLine(LineKind.USAGE, "Usage", usage.quantity, self.amount)
