"""Tiers of graduated and volume prices: bounds inclusive, strictly increasing, the last one open."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field, WrapValidator

from tollkeeper.rating.decimals import NonNegative, Positive, plain, read_decimal
from tollkeeper.rating.lines import ExactLine
from tollkeeper.rating.problems import CheckedModel, Problem, fields_of, validate_with
from tollkeeper.rating.types import LineKind

MOST_TIERS = 1000


class Tier(CheckedModel):
    """One tier: units up to and with `up_to` (null: no bound), each at `unit_price`, once `flat_price`."""

    up_to: Positive | None = Field(default=None, description="Last quantity in the tier; null for the last tier.")
    unit_price: NonNegative = Field(default=Decimal(0), description="Price of each unit in the tier.")
    flat_price: NonNegative = Field(default=Decimal(0), description="Due once when the tier is reached.")


def _order_problems(tiers: Any) -> Iterator[Problem]:
    """Yield what is wrong with the bounds of raw tiers; a bound that cannot be read is told elsewhere."""
    if not isinstance(tiers, list | tuple):
        return
    if not tiers:
        yield (), "needs at least one tier"
    highest = Decimal(0)
    for index, raw in enumerate(tiers):
        tier = fields_of(raw)
        if tier and tier.get("unit_price") is None and tier.get("flat_price") is None:
            yield (index,), 'needs a unit_price, a flat_price or both ("0" is a price)'
        if tier:
            bound = _bound(tier.get("up_to"))
            is_last = index == len(tiers) - 1
            yield from _bound_problems(index, tier.get("up_to"), bound, highest, is_last=is_last)
            highest = max(highest, bound or highest)


def _bound_problems(
    index: int, up_to: Any, bound: Decimal | None, highest: Decimal, *, is_last: bool
) -> Iterator[Problem]:
    if up_to is None and not is_last:
        yield (index, "up_to"), "only the last tier is open; give this one a bound"
    if up_to is not None and is_last:
        yield (index, "up_to"), "the last tier must be open; set it to null"
    elif bound is not None and bound <= highest:
        yield (index, "up_to"), f"must be more than {plain(highest)}, where the tier before ends"


def _bound(value: Any) -> Decimal | None:
    try:
        return None if value is None else read_decimal(value)
    except ValueError:
        return None


def _check_order(value: Any, validate: Callable[[Any], Any]) -> Any:
    return validate_with(value, validate, _order_problems, "tiers")


Tiers = Annotated[tuple[Tier, ...], Field(max_length=MOST_TIERS), WrapValidator(_check_order)]


def tier_lines(tiers: tuple[Tier, ...], index: int, quantity: Fraction, scope: str) -> Iterator[ExactLine]:
    """Yield the lines of one tier: its usage if there is some, its flat price if it has one."""
    tier = tiers[index]
    name = f"Tier {index + 1}"
    if quantity.numerator > 0:
        yield ExactLine(LineKind.USAGE, f"{name}: {scope}", quantity, tier.unit_price, tier=index)
    if tier.flat_price > 0:
        yield ExactLine(LineKind.FLAT, f"{name}: flat price", Fraction(1), tier.flat_price, tier=index)


def bounds_text(tiers: tuple[Tier, ...], index: int) -> str:
    """Describe the range of a tier: "up to 1000", "above 1000 up to 5000", "above 5000"."""
    lower = tiers[index - 1].up_to if index else None
    upper = tiers[index].up_to
    parts = [f"above {plain(lower)}" if lower is not None else "", f"up to {plain(upper)}" if upper is not None else ""]
    return " ".join(part for part in parts if part) or "all units"
