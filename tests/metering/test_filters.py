"""Filters of meters and features: exact, and wrong ones refused by their path."""

from decimal import Decimal
from typing import Any

import pytest

from tollkeeper.errors import InvalidInput
from tollkeeper.metering.filters import check_filter, lookup_in, matches

DATA = {"status": 200, "route": "flights", "cost": Decimal("0.10"), "llm": {"model": "gpt-4o", "stream": True}}
NAMES = {"model": "llm.model", "stream": "llm.stream"}


@pytest.mark.parametrize(
    ("filter_", "holds"),
    [
        ({}, True),
        ({"status": {"eq": "200"}}, True),
        ({"status": {"eq": 200}}, True),
        ({"status": {"eq": "200.0"}}, True),
        ({"status": {"ne": "200"}}, False),
        ({"status": {"gte": "200", "lt": "300"}}, True),
        ({"status": {"gt": "200"}}, False),
        ({"status": {"lte": "199.999"}}, False),
        ({"cost": {"gte": "0.1", "lte": "0.1"}}, True),
        ({"route": {"in": ["bookings", "flights"]}}, True),
        ({"route": {"nin": ["bookings", "flights"]}}, False),
        ({"route": {"gte": "0"}}, False),
        ({"model": {"eq": "gpt-4o"}}, True),
        ({"llm.model": {"eq": "gpt-4o"}}, True),
        ({"stream": {"eq": "true"}}, True),
        ({"llm": {"exists": True}}, True),
        ({"refused": {"exists": False}}, True),
        ({"refused": {"exists": True}}, False),
        ({"weather": {"ne": "fair"}}, True),
        ({"weather": {"nin": ["fair"]}}, True),
        ({"weather": {"eq": "fair"}}, False),
        ({"weather": {"lt": "5"}}, False),
        ({"status": {"eq": "200"}, "route": {"eq": "bookings"}}, False),
    ],
)
def test_a_filter_holds_when_all_its_conditions_do(filter_: dict[str, Any], holds: bool) -> None:
    assert matches(check_filter(filter_), lookup_in(DATA, NAMES)) is holds


def test_a_route_named_by_a_number_is_not_another_spelling_of_it() -> None:
    assert not matches({"route": {"eq": "1.0"}}, lookup_in({"route": "1"}, {}))


@pytest.mark.parametrize(
    ("filter_", "path"),
    [
        ([], "/filter"),
        ({"status": "200"}, "/filter/status"),
        ({"status": {}}, "/filter/status"),
        ({"status": {"like": "2"}}, "/filter/status/like"),
        ({"status": {"gte": "many"}}, "/filter/status/gte"),
        ({"status": {"gte": 2.5}}, "/filter/status/gte"),
        ({"status": {"eq": None}}, "/filter/status/eq"),
        ({"status": {"in": "200"}}, "/filter/status/in"),
        ({"status": {"in": []}}, "/filter/status/in"),
        ({"status": {"exists": "yes"}}, "/filter/status/exists"),
    ],
)
def test_a_wrong_filter_is_refused_by_its_path(filter_: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_filter(filter_)
    assert [field.path for field in refusal.value.fields] == [path]
