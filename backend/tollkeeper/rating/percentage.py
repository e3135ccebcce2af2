"""Percentage price: a rate of the money that went through, and an amount per event."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from pydantic import Field

from tollkeeper.money import EXACT
from tollkeeper.rating.decimals import NonNegative, WholeNumber, plain
from tollkeeper.rating.lines import ExactLine, PeriodUsage
from tollkeeper.rating.problems import CheckedModel
from tollkeeper.rating.types import LineKind


class PercentagePrice(CheckedModel):
    """The quantity is money; `rate` is per cent of it."""

    type: Literal["percentage"]
    rate: NonNegative = Field(description="Per cent of the quantity, which is an amount of money.")
    fixed_amount: NonNegative = Field(default=Decimal(0), description="Due per event, in major units.")
    free_events: WholeNumber = Field(default=Decimal(0), description="So many events are free of the fixed amount.")

    def lines(self, usage: PeriodUsage) -> Iterator[ExactLine]:
        """Yield the rate of the amount, and at the end of the period the fixed amount of the events.

        The events behind an already billed quantity are not known, so a fixed amount that was billed inside
        a period could not be taken off later: it waits for the closing invoice.
        """
        if usage.quantity > 0:
            description = f"{plain(self.rate)} % of the amount"
            yield ExactLine(LineKind.USAGE, description, usage.quantity, self.rate.scaleb(-2, EXACT))
        charged_events = usage.event_count - int(self.free_events)
        if self.fixed_amount > 0 and charged_events > 0 and usage.is_complete:
            description = "Fixed amount per event"
            if self.free_events:
                description += f", {plain(self.free_events)} events free"
            yield ExactLine(LineKind.USAGE, description, Fraction(charged_events), self.fixed_amount)
