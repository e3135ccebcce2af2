"""Dynamic price: the usage says what it costs; a multiplier adds the margin."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from pydantic import Field

from tollkeeper.rating.decimals import NonNegative, plain
from tollkeeper.rating.lines import ExactLine, PeriodUsage
from tollkeeper.rating.problems import CheckedModel
from tollkeeper.rating.types import LineKind


class DynamicPrice(CheckedModel):
    """The quantity is the cost of the usage in the currency's major unit."""

    type: Literal["dynamic"]
    multiplier: NonNegative = Field(default=Decimal(1), description='The cost is multiplied by it: "1.2" adds 20 %.')

    def lines(self, usage: PeriodUsage) -> Iterator[ExactLine]:
        """Yield one line: the cost times the multiplier; none at zero cost."""
        if usage.quantity > 0:
            description = f"Cost of the usage, times {plain(self.multiplier)}"
            yield ExactLine(LineKind.USAGE, description, usage.quantity, self.multiplier)
