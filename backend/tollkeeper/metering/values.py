"""Find a field in an event's data and read it as an exact number; pure."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

ABSENT = object()
# A sum of 10^20 numbers of this size is still exact in the 100 digits of money.EXACT.
MOST_DIGITS_BEFORE_POINT = 40
MOST_DIGITS_AFTER_POINT = 40


class NoNumber(Exception):
    """The reason why a value is none that a meter can count."""


def find_value(data: Any, path: str) -> Any:
    """Return what the dotted path leads to in the data, or ABSENT."""
    here = data
    for part in path.split("."):
        if not isinstance(here, Mapping) or part not in here:
            return ABSENT
        here = here[part]
    return here


def number_of(value: Any) -> Decimal:
    """Return a finite number that stands as number or as decimal text; raises NoNumber with the reason."""
    if value is ABSENT:
        raise NoNumber("is missing")
    if value is None:
        raise NoNumber("is null")
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise NoNumber("is no number")
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        raise NoNumber("is no number") from None
    if not number.is_finite():
        raise NoNumber("is no finite number")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if number and (number.adjusted() >= MOST_DIGITS_BEFORE_POINT or exponent < -MOST_DIGITS_AFTER_POINT):
        raise NoNumber(f"has more than {MOST_DIGITS_BEFORE_POINT} digits before or after the point")
    return number or Decimal(0)


def text_of(value: Any) -> str | None:
    """Return a dimension's value as the text that it is grouped by and compared with; None for none."""
    if value is ABSENT or value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if abs(value.adjusted()) < MOST_DIGITS_BEFORE_POINT else str(value)
    if isinstance(value, dict | list):
        return None
    return str(value)
