"""Which route a request takes, and the path that its upstream sees (Kong's `traditional` rules, v0 paths)."""

import re
from dataclasses import dataclass
from typing import Any

from tests.gateway.configuration import Configuration


@dataclass(frozen=True)
class Match:
    """A route, its service (none for a route that only plugins answer), and the upstream's path."""

    route: dict[str, Any]
    service: dict[str, Any] | None
    upstream_path: str


@dataclass(frozen=True)
class _Rule:
    """One path of one route (`None`: any path), ready to be tried."""

    route: dict[str, Any]
    path: str | None
    pattern: re.Pattern[str] | None

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """More conditions first, then regular expressions by their priority, then the longest prefix."""
        conditions = sum(bool(self.route.get(name)) for name in ("hosts", "methods", "paths"))
        return (
            -conditions,
            0 if self.pattern else 1,
            -self.route["regex_priority"] if self.pattern else 0,
            -len(self.path or ""),
        )


class Router:
    """Finds the route of a request."""

    def __init__(self, configuration: Configuration) -> None:
        self._services = configuration.services
        rules = [
            _Rule(route, path, re.compile(path[1:]) if path and path.startswith("~") else None)
            for route in configuration.routes.values()
            for path in route.get("paths") or [None]
        ]
        self._rules = sorted(rules, key=lambda rule: rule.rank)

    def find_match(self, method: str, host: str, path: str) -> Match | None:
        """Return the first rule that fits, or None: Kong answers 404."""
        for rule in self._rules:
            if not _fits(rule.route, method, host):
                continue
            matched = _matched_part(rule, path)
            if matched is not None:
                service = self._services.get(rule.route.get("service", {}).get("id", ""))
                return Match(rule.route, service, _upstream_path(rule.route, service, path, matched))
        return None


def _fits(route: dict[str, Any], method: str, host: str) -> bool:
    if route.get("methods") and method not in route["methods"]:
        return False
    hosts = route.get("hosts")
    return not hosts or any(_host_fits(pattern, host.partition(":")[0]) for pattern in hosts)


def _host_fits(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    if pattern.endswith(".*"):
        return host.startswith(pattern[:-1])
    return pattern == host


def _matched_part(rule: _Rule, path: str) -> str | None:
    if rule.path is None:
        return ""
    if rule.pattern is None:
        return rule.path if path.startswith(rule.path) else None
    found = rule.pattern.match(path)
    return found.group(0) if found else None


def _upstream_path(route: dict[str, Any], service: dict[str, Any] | None, path: str, matched: str) -> str:
    rest = path[len(matched) :] if route["strip_path"] and matched else path
    base = (service or {}).get("path") or "/"
    if not rest or rest == "/":
        return base if not rest or base.endswith("/") else base + rest
    return base.rstrip("/") + "/" + rest.lstrip("/")
