"""Unit conversion: bytes to gigabytes, tokens to thousands; before free units and price."""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from tollkeeper.rating.decimals import Positive, round_half_up
from tollkeeper.rating.problems import Problem, fields_of, validate_with

ROUNDINGS: dict[str, Callable[[Fraction], Fraction]] = {
    "none": lambda quantity: quantity,
    "ceiling": lambda quantity: Fraction(math.ceil(quantity)),
    "floor": lambda quantity: Fraction(math.floor(quantity)),
    "half_up": lambda quantity: Fraction(round_half_up(quantity)),
}


class UnitConversion(BaseModel):
    """Divide or multiply the quantity, exactly, then round it to whole units if asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    divide_by: Positive | None = None
    multiply_by: Positive | None = None
    rounding: Literal["ceiling", "floor", "half_up", "none"] = "none"

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        checked: Self = validate_with(value, handler, _factor_problems, "unit_conversion")
        return checked

    def convert(self, quantity: Fraction) -> Fraction:
        """Return the converted quantity."""
        factor = Fraction(self.multiply_by or Decimal(1)) / Fraction(self.divide_by or Decimal(1))
        return ROUNDINGS[self.rounding](quantity * factor)


def _factor_problems(raw: Any) -> Iterator[Problem]:
    given = [name for name in ("divide_by", "multiply_by") if fields_of(raw).get(name) is not None]
    if len(given) == 2:
        yield ("multiply_by",), "divide_by is there already; leave one of the two out"
    if not given:
        yield (), "needs divide_by or multiply_by"
