"""Unit conversion: bytes to gigabytes, tokens to thousands; before free units and price."""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from tollkeeper.rating.decimals import Positive, round_half_up
from tollkeeper.rating.problems import CheckedModel, Problem, fields_of

ROUNDINGS: dict[str, Callable[[Fraction], Fraction]] = {
    "none": lambda quantity: quantity,
    "ceiling": lambda quantity: Fraction(math.ceil(quantity)),
    "floor": lambda quantity: Fraction(math.floor(quantity)),
    "half_up": lambda quantity: Fraction(round_half_up(quantity)),
}


class UnitConversion(CheckedModel):
    """Divide or multiply the quantity, exactly, then round it to whole units if asked."""

    divide_by: Positive | None = None
    multiply_by: Positive | None = None
    rounding: Literal["ceiling", "floor", "half_up", "none"] = "none"

    @classmethod
    def problems(cls, raw: Any) -> Iterator[Problem]:
        """Yield what is wrong with the factors: there is exactly one."""
        given = [name for name in ("divide_by", "multiply_by") if fields_of(raw).get(name) is not None]
        if len(given) == 2:
            yield ("multiply_by",), "divide_by is there already; leave one of the two out"
        if not given:
            yield (), "needs divide_by or multiply_by"

    def convert(self, quantity: Fraction) -> Fraction:
        """Return the converted quantity."""
        factor = Fraction(self.multiply_by or Decimal(1)) / Fraction(self.divide_by or Decimal(1))
        return ROUNDINGS[self.rounding](quantity * factor)
