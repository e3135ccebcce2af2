"""What part of the traffic a limit is about, as far as it is known before the answer; pure.

A feature's filter may look at what only the answer tells (status, tokens). A limit on it can refuse only by
what is known before: route, service, method, model. So the scope is the filter without the rest, and a hard
limit of "1000 successful calls on /flights" refuses every call on /flights once it is spent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tollkeeper.metering.filters import TESTS

METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
# Path in an event's data -> part of the scope.
PARTS = {"route": "routes", "service": "services", "method": "methods", "llm.model": "models"}
LISTING = ("eq", "in")


@dataclass(frozen=True, slots=True)
class KnownTraffic:
    """What Kong serves: names of routes and services by their id; an empty mapping is 'not known'."""

    routes: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scope:
    """Lists of names and ids; an empty list means all. `is_exact` is False when it takes in other traffic, too."""

    routes: Sequence[str] = ()
    route_ids: Sequence[str] = ()
    services: Sequence[str] = ()
    service_ids: Sequence[str] = ()
    methods: Sequence[str] = ()
    models: Sequence[str] = ()
    is_exact: bool = True

    def as_json(self) -> dict[str, list[str]]:
        """Return the scope as the feed carries it."""
        names = ("routes", "route_ids", "services", "service_ids", "methods", "models")
        return {name: list(getattr(self, name)) for name in names}


def scope_of(filter_: Mapping[str, Mapping[str, Any]], names: Mapping[str, str], known: KnownTraffic) -> Scope | None:
    """Return the scope of a filter; `names` maps the meter's group-by names to paths in the data.

    None: no traffic at all passes the filter. A condition such as {"route": {"ne": "health"}} is spelled out
    over the routes that Kong has; where what there is cannot be known (models), the scope is not exact, and the
    caller must not refuse by it.
    """
    parts: dict[str, Sequence[str]] = {}
    is_exact = True
    for name, tests in filter_.items():
        part = PARTS.get(names.get(name, name))
        if part is None:
            continue
        values = _values(tests, _candidates(part, known))
        if values is None:
            is_exact = False
            continue
        parts[part] = _both(parts.get(part), values)
        if not parts[part]:
            return None
    routes, route_ids = _with_ids(parts.get("routes", ()), known.routes)
    services, service_ids = _with_ids(parts.get("services", ()), known.services)
    return Scope(routes, route_ids, services, service_ids, parts.get("methods", ()), parts.get("models", ()), is_exact)


def _candidates(part: str, known: KnownTraffic) -> Sequence[str]:
    if part == "methods":
        return METHODS
    by_part = {"routes": known.routes, "services": known.services}
    return sorted(set(by_part[part].values())) if part in by_part else ()


def _values(tests: Mapping[str, Any], candidates: Sequence[str]) -> list[str] | None:
    """Return the values that pass all conditions, or None when they cannot be listed."""
    listed = [
        [str(value)] if test == "eq" else [str(item) for item in value]
        for test, value in tests.items()
        if test in LISTING
    ]
    values = listed[0] if listed else list(candidates)
    if not values:
        return None
    return [value for value in values if all(TESTS[test](value, operand) for test, operand in tests.items())]


def _both(one: Sequence[str] | None, other: Sequence[str]) -> Sequence[str]:
    return other if one is None else [value for value in one if value in other]


def _with_ids(values: Sequence[str], names: Mapping[str, str]) -> tuple[Sequence[str], Sequence[str]]:
    # An operator may name a route by its id, and two Kongs may have routes of one name; a node compares both lists.
    return values, tuple(sorted(identifier for identifier, name in names.items() if {name, identifier} & set(values)))
