"""The scope of a limit is the part of its feature's filter that is known before the answer."""

from typing import Any

import pytest

from tollkeeper.entitlements.scope import KnownTraffic, Scope, scope_of

NAMES = {"route": "route", "service": "service", "method": "method", "model": "llm.model", "status": "status"}
KONG = KnownTraffic(routes={"id-f": "flights", "id-b": "bookings", "id-h": "health"}, services={"id-air": "air"})


def scope(filter_: dict[str, Any], known: KnownTraffic = KONG) -> Scope | None:
    return scope_of(filter_, NAMES, known)


def test_no_filter_is_all_traffic() -> None:
    assert scope({}) == Scope()


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ({"route": {"eq": "flights"}}, {"routes": ["flights"], "route_ids": ["id-f"]}),
        ({"route": {"in": ["flights", "gone"]}}, {"routes": ["flights", "gone"], "route_ids": ["id-f"]}),
        ({"route": {"eq": "id-f"}}, {"routes": ["id-f"], "route_ids": ["id-f"]}),
        ({"service": {"eq": "air"}}, {"services": ["air"], "service_ids": ["id-air"]}),
        ({"method": {"in": ["GET", "HEAD"]}}, {"methods": ["GET", "HEAD"]}),
        ({"model": {"eq": "gpt-4o"}}, {"models": ["gpt-4o"]}),
        ({"status": {"gte": "200", "lt": "300"}, "route": {"eq": "flights"}}, {"routes": ["flights"]}),
        ({"route": {"ne": "health"}}, {"routes": ["bookings", "flights"]}),
        ({"route": {"nin": ["health", "bookings"]}}, {"routes": ["flights"]}),
        (
            {"method": {"ne": "OPTIONS"}},
            {"methods": ["CONNECT", "DELETE", "GET", "HEAD", "PATCH", "POST", "PUT", "TRACE"]},
        ),
        ({"route": {"in": ["flights", "bookings"], "ne": "bookings"}}, {"routes": ["flights"]}),
    ],
)
def test_what_is_known_before_the_answer_is_listed(filter_: dict[str, Any], expected: dict[str, list[str]]) -> None:
    found = scope(filter_)
    assert found is not None
    assert found.is_exact
    shown = found.as_json()
    assert {part: shown[part] for part in expected} == expected


def test_routes_of_one_name_in_two_kongs_are_both_meant() -> None:
    found = scope({"route": {"eq": "flights"}}, KnownTraffic(routes={"id-1": "flights", "id-2": "flights"}))
    assert found is not None
    assert list(found.route_ids) == ["id-1", "id-2"]


def test_what_only_the_answer_tells_is_left_out() -> None:
    found = scope({"status": {"lt": "300"}})
    assert found == Scope()


def test_conditions_that_contradict_each_other_are_no_traffic_and_not_all() -> None:
    assert scope({"route": {"eq": "flights", "ne": "flights"}}) is None


def test_an_exclusion_of_models_cannot_be_listed_so_the_scope_is_not_exact() -> None:
    found = scope({"model": {"ne": "gpt-4o"}})
    assert found is not None
    assert not found.is_exact


def test_an_exclusion_of_routes_is_not_exact_while_kong_was_not_read() -> None:
    found = scope({"route": {"ne": "health"}}, KnownTraffic())
    assert found is not None
    assert not found.is_exact
