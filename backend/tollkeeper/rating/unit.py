"""Unit price: each unit costs the same."""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.rating.decimals import NonNegative
from tollkeeper.rating.lines import ExactLine, PeriodUsage
from tollkeeper.rating.types import LineKind


class UnitPrice(BaseModel):
    """Quantity times amount."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["unit"]
    amount: NonNegative = Field(description="Price of one unit, in major units; may be finer than the currency.")

    def lines(self, usage: PeriodUsage) -> Iterator[ExactLine]:
        """Yield one line; none at zero usage."""
        if usage.quantity > 0:
            yield ExactLine(LineKind.USAGE, "Usage", usage.quantity, self.amount)
