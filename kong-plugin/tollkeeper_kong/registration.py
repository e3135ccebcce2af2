"""How Kong knows of the plugin: by its Admin API, or by the environment that Kong is started with."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import requests

from tollkeeper_kong.finding import Finding
from tollkeeper_kong.schema import NAME

ANSWER_SECONDS = 2.0


def examine_registration(admin_url: str | None, environment: Mapping[str, str], socket_path: Path) -> Iterator[Finding]:
    """Ask the Admin API, if its address is given; else look at the environment, if it is Kong's."""
    if admin_url:
        yield from _examine_admin(admin_url)
    elif any(name.startswith("KONG_") for name in environment):
        yield from _examine_environment(environment, socket_path)
    else:
        advice = "give --kong-admin http://127.0.0.1:8001, or run doctor where Kong's KONG_* variables are set"
        yield Finding("hint", "registration", "was not looked at", advice)


def _examine_environment(environment: Mapping[str, str], socket_path: Path) -> Iterator[Finding]:
    def has_name(variable: str) -> bool:
        return NAME in [part.strip() for part in environment.get(variable, "").split(",")]

    prefix = f"KONG_PLUGINSERVER_{NAME.upper()}_"
    checks: list[tuple[Callable[[], bool], str]] = [
        (lambda: has_name("KONG_PLUGINS"), "KONG_PLUGINS=bundled,tollkeeper"),
        (lambda: has_name("KONG_PLUGINSERVER_NAMES"), "KONG_PLUGINSERVER_NAMES=tollkeeper"),
        (lambda: environment.get(f"{prefix}SOCKET") == str(socket_path), f"{prefix}SOCKET={socket_path}"),
        (lambda: bool(environment.get(f"{prefix}QUERY_CMD")), f"{prefix}QUERY_CMD='tollkeeper-kong --dump'"),
    ]
    missing = [wanted for holds, wanted in checks if not holds()]
    for wanted in missing:
        yield Finding("failure", "registration", f"{wanted} is not set", f"start Kong with {wanted}")
    if not missing:
        yield Finding("ok", "registration", "Kong's environment names the plugin and its socket")
    if "KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT" not in environment:
        advice = "start Kong with KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT=2s"
        yield Finding("warning", "registration", "requests wait 60 s for a plugin server that hangs", advice)


def _examine_admin(url: str) -> Iterator[Finding]:
    try:
        available = requests.get(url, timeout=ANSWER_SECONDS).json()["plugins"]["available_on_server"]
        configured = requests.get(f"{url.rstrip('/')}/plugins", timeout=ANSWER_SECONDS).json()["data"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        advice = "check --kong-admin; Kong needs KONG_ADMIN_LISTEN"
        yield Finding("failure", "registration", f"{url}: {type(error).__name__}", advice)
        return
    if NAME not in available:
        advice = (
            "start Kong with KONG_PLUGINS=bundled,tollkeeper and the KONG_PLUGINSERVER_* settings of docs/plugin.md"
        )
        yield Finding("failure", "registration", "Kong does not know the plugin", advice)
        return
    count = sum(plugin.get("name") == NAME and plugin.get("enabled", True) for plugin in configured)
    if count:
        yield Finding("ok", "registration", f"Kong knows the plugin and has {count} configurations of it")
    else:
        advice = "add it to kong.yml or: curl -X POST ADMIN/plugins -d name=tollkeeper"
        yield Finding("warning", "registration", "Kong knows the plugin and uses it nowhere", advice)
