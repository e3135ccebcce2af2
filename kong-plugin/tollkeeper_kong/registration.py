"""How Kong knows of the plugin: by its Admin API, or by the environment that Kong is started with."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import requests

from tollkeeper_kong.dump import dump
from tollkeeper_kong.finding import Finding
from tollkeeper_kong.schema import KONG_FIELDS, NAME

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
        yield from _examine_query(environment[f"{prefix}QUERY_CMD"])
    if environment.get(f"{prefix}START_CMD"):
        advice = "run it by systemd or in a container of its own with --sidecar: docs/plugin.md, Install"
        yield Finding("hint", "registration", "Kong starts the server, and kills it when a worker ends", advice)
    if "KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT" not in environment:
        advice = "start Kong with KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT=2s"
        yield Finding("warning", "registration", "requests wait 60 s for a plugin server that hangs", advice)


def _examine_query(command: str) -> Iterator[Finding]:
    """See whether a file that Kong reads in place of asking us is of this version."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        advice = "close its quotes: KONG_PLUGINSERVER_TOLLKEEPER_QUERY_CMD='tollkeeper-kong --dump'"
        text = f"KONG_PLUGINSERVER_{NAME.upper()}_QUERY_CMD is no command: {error}"
        yield Finding("failure", "registration", text, advice)
        return
    if len(words) != 2 or words[0] not in {"cat", "/bin/cat", "/usr/bin/cat"}:
        return
    path, advice = Path(words[1]), f"tollkeeper-kong --dump > {words[1]}, then restart Kong"
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        text = f"{path} cannot be read here ({type(error).__name__}): without it Kong does not start"
        yield Finding("warning", "registration", text, advice)
        return
    if found != json.loads(dump()):
        yield Finding("warning", "registration", f"{path} describes another version of the plugin", advice)


def _examine_schema(url: str) -> Iterator[Finding]:
    """Compare the fields that Kong knows with ours: Kong reads them when it starts."""
    try:
        fields = requests.get(f"{url.rstrip('/')}/schemas/plugins/{NAME}", timeout=ANSWER_SECONDS).json()["fields"]
        config = next(field["config"] for field in fields if "config" in field)
        known = {name for field in config["fields"] for name in field}
    except (requests.RequestException, ValueError, LookupError, TypeError, StopIteration):
        return  # an older Kong; what matters was found
    ours = {name for field in KONG_FIELDS for name in field}
    if known != ours:
        advice = "run --dump again if QUERY_CMD reads a file, and restart Kong"
        differ = ", ".join(sorted(known ^ ours))
        yield Finding("warning", "registration", f"Kong knows another version of the plugin: {differ}", advice)


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
    yield from _examine_schema(url)
    count = sum(plugin.get("name") == NAME and plugin.get("enabled", True) for plugin in configured)
    if count:
        yield Finding("ok", "registration", f"Kong knows the plugin and has {count} configurations of it")
    else:
        advice = "add it to kong.yml or: curl -X POST ADMIN/plugins -d name=tollkeeper"
        yield Finding("warning", "registration", "Kong knows the plugin and uses it nowhere", advice)
