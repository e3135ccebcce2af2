"""Filters of meters and features: {"status": {"gte": "200", "lt": "300"}, "route": {"in": ["flights"]}}; pure.

All conditions must hold. `eq`, `ne`, `in`, `nin` compare texts, and numbers where both sides are numbers; the
others compare numbers and hold for no text. A field that is not there holds for `ne`, `nin` and
{"exists": false} alone.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tollkeeper.errors import FieldError, InvalidInput
from tollkeeper.metering.values import ABSENT, NoNumber, find_value, number_of, text_of

Filter = Mapping[str, Mapping[str, Any]]
Lookup = Callable[[str], Any]
MOST_CONDITIONS = 20
MOST_LISTED = 1_000


def check_filter(raw: Any, path: str = "/filter") -> Filter:
    """Return the filter if it is one; raises InvalidInput naming each wrong condition."""
    if not isinstance(raw, dict):
        raise InvalidInput.of(path, 'must be an object like {"status": {"lt": "400"}}')
    problems = [problem for field, tests in raw.items() for problem in _problems(tests, f"{path}/{field}")]
    if len(raw) > MOST_CONDITIONS:
        problems.append(FieldError(path, f"has more than {MOST_CONDITIONS} conditions"))
    if problems:
        raise InvalidInput(f"the filter is wrong: {problems[0].path}: {problems[0].message}", tuple(problems))
    return raw


def matches(filter_: Filter, lookup: Lookup) -> bool:
    """Say whether all conditions hold; `lookup` gives a field's value or ABSENT."""
    return all(
        TESTS[name](lookup(field), operand) for field, tests in filter_.items() for name, operand in tests.items()
    )


def lookup_in(data: Any, names: Mapping[str, str]) -> Lookup:
    """Return a lookup of fields by their group-by name, or else by their path in the data."""
    return lambda field: find_value(data, names.get(field, field))


def paths_of(filter_: Filter, names: Mapping[str, str]) -> set[str]:
    """Return the paths in the data that the filter looks at."""
    return {names.get(field, field) for field in filter_}


def _problems(tests: Any, path: str) -> list[FieldError]:
    if not isinstance(tests, dict) or not tests:
        return [FieldError(path, 'must be an object like {"eq": "flights"}')]
    return [
        FieldError(f"{path}/{name}", message)
        for name, operand in tests.items()
        if (message := _problem(name, operand)) is not None
    ]


def _problem(name: str, operand: Any) -> str | None:
    if name not in TESTS:
        return f"is no condition; use one of {', '.join(TESTS)}"
    if name == "exists":
        return None if isinstance(operand, bool) else "must be true or false"
    if name in {"in", "nin"}:
        is_list = isinstance(operand, list) and 0 < len(operand) <= MOST_LISTED
        return None if is_list and all(_is_scalar(item) for item in operand) else "must be a list of values"
    if name in {"eq", "ne"}:
        return None if _is_scalar(operand) else "must be a text or a number"
    try:
        number_of(operand)
    except NoNumber as reason:
        return f"{reason}; write it like '200'"
    return None


def _is_scalar(operand: Any) -> bool:
    return isinstance(operand, str | int | bool)


def _equal(value: Any, operand: Any) -> bool:
    if value is ABSENT or value is None:
        return False
    if text_of(value) == text_of(operand):
        return True
    if isinstance(value, str):
        return False
    left = _number(value)
    return left is not None and left == _number(operand)


def _number(value: Any) -> Decimal | None:
    try:
        return number_of(value)
    except NoNumber:
        return None


def _compare(holds: Callable[[Decimal, Decimal], bool]) -> Callable[[Any, Any], bool]:
    def test(value: Any, operand: Any) -> bool:
        number = _number(value)
        return number is not None and holds(number, number_of(operand))

    return test


TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "ne": lambda value, operand: not _equal(value, operand),
    "in": lambda value, operand: any(_equal(value, item) for item in operand),
    "nin": lambda value, operand: not any(_equal(value, item) for item in operand),
    "gte": _compare(lambda value, operand: value >= operand),
    "gt": _compare(lambda value, operand: value > operand),
    "lte": _compare(lambda value, operand: value <= operand),
    "lt": _compare(lambda value, operand: value < operand),
    "exists": lambda value, operand: (value is not ABSENT and value is not None) == operand,
}
