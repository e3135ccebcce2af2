"""The plugins that the tests' gateway runs, in Kong's order of priority.

A plugin of a route, service or consumer replaces the global one of the same name, as in Kong.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.gateway.configuration import Configuration, ConfigurationError, Plugin
from tests.gateway.exchange import Exchange, KongExit
from tests.gateway.lua import LuaFunctions

PRIORITIES = {"key-auth": 1250, "file-log": 9, "request-termination": 2, "post-function": -1000}
SCOPES = ("consumer_id", "route_id", "service_id")  # the more of them a plugin names, the more it binds


@dataclass(frozen=True)
class ExternalPlugin:
    """A plugin that lives in a plugin server: what Kong's query command told about it."""

    name: str
    socket: str
    priority: int = 907
    phases: frozenset[str] = frozenset({"access", "log"})
    fields: tuple[dict[str, Any], ...] | None = None  # the schema of `config`; None: not known, not checked


@dataclass
class PluginSet:
    """The configured plugins, checked, with what each needs at run time."""

    configuration: Configuration
    external: dict[str, ExternalPlugin]
    file_log: Path | None = None
    seq: int = 1
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)  # by plugin id: what StartInstance sends
    lua: dict[str, LuaFunctions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for plugin in self.configuration.plugins:
            if plugin.name in self.external:
                self.configs[plugin.id] = instance_config(plugin, self.external[plugin.name], self.seq)
            elif plugin.name == "post-function":
                self.lua[plugin.id] = LuaFunctions(plugin)
            elif plugin.name not in PRIORITIES:
                raise ConfigurationError(
                    f"{plugin.place}.name: the tests' gateway has no plugin {plugin.name!r}; "
                    f"it knows {', '.join(sorted({*PRIORITIES, *self.external}))}"
                )

    def for_request(self, exchange: Exchange) -> list[Plugin]:
        """Return the plugins that run for a request, by priority; those of the consumer once he is known."""
        chosen: dict[str, Plugin] = {}
        for plugin in self.configuration.plugins:
            if _applies(plugin, exchange) and _binding(plugin) >= _binding(chosen.get(plugin.name)):
                chosen[plugin.name] = plugin
        return sorted(chosen.values(), key=self._priority, reverse=True)

    def log_path(self, plugin: Plugin) -> Path:
        """Return where a file-log plugin writes: the option overrides the file's path."""
        return self.file_log or Path(plugin.config["path"])

    def _priority(self, plugin: Plugin) -> int:
        return self.external[plugin.name].priority if plugin.name in self.external else PRIORITIES[plugin.name]


def instance_config(plugin: Plugin, external: ExternalPlugin, seq: int) -> dict[str, Any]:
    """Return the configuration as Kong sends it: scope, key, sequence, the fields with their defaults, the id."""
    found: dict[str, Any] = {name: getattr(plugin, name) for name in ("route_id", "service_id", "consumer_id")}
    found = {name: value for name, value in found.items() if value}
    found |= {"__ws_id": plugin.key.rpartition(":")[2], "__key__": plugin.key, "__seq__": seq}
    if external.fields is None:
        found |= plugin.config
    else:
        found |= _with_defaults(external.fields, plugin.config, f"{plugin.place}.config")
    return found | {"__plugin_id": plugin.id}


def check_key(plugin: Plugin, configuration: Configuration, exchange: Exchange) -> None:
    """Run key-auth: find the consumer of the key, or answer 401 as Kong does."""
    names = plugin.config.get("key_names") or ["apikey"]
    query = exchange.query()
    key = next((found for name in names if (found := exchange.header(name) or query.get(name))), None)
    credential = configuration.credentials.get(key) if isinstance(key, str) else None
    if credential is None:
        anonymous = plugin.config.get("anonymous")
        if anonymous:
            _authenticate(exchange, configuration.find_by_name("consumers", anonymous), None)
            return
        message = "No API key found in request" if key is None else "Unauthorized"
        raise KongExit(401, {"message": message}, {"WWW-Authenticate": "Key"})
    _authenticate(exchange, configuration.consumers[credential["consumer"]["id"]], credential)
    if plugin.config.get("hide_credentials"):
        for name in names:
            exchange.clear_request_header(name)


def terminate(plugin: Plugin) -> None:
    """Run request-termination."""
    config = plugin.config
    body: object = config.get("body") or {"message": config.get("message") or "Service unavailable"}
    headers = {"Content-Type": config["content_type"]} if config.get("content_type") else {}
    raise KongExit(int(config.get("status_code", 503)), body, headers)


def _authenticate(exchange: Exchange, consumer: dict[str, Any] | None, credential: dict[str, Any] | None) -> None:
    exchange.consumer, exchange.credential = consumer, credential
    told = {
        "x-consumer-id": consumer and consumer["id"],
        "x-consumer-custom-id": consumer and consumer.get("custom_id"),
        "x-consumer-username": consumer and consumer.get("username"),
        "x-credential-identifier": credential and credential["id"],
        "x-anonymous-consumer": None if credential else "true",
    }
    for name, value in told.items():
        exchange.clear_request_header(name)
        if value:
            exchange.request_headers.append((name, value))


def _applies(plugin: Plugin, exchange: Exchange) -> bool:
    match = exchange.match
    here = {
        "route_id": match.route["id"] if match else None,
        "service_id": match.service["id"] if match and match.service else None,
        "consumer_id": exchange.consumer["id"] if exchange.consumer else None,
    }
    return all(getattr(plugin, scope) in (None, here[scope]) for scope in SCOPES)


def _binding(plugin: Plugin | None) -> tuple[int, ...]:
    """Rank a plugin by its scope: more entities first, then consumer before route before service."""
    if plugin is None:
        return (-1,)
    named = [getattr(plugin, scope) is not None for scope in SCOPES]
    return (sum(named), *named)


def _with_defaults(fields: Iterable[dict[str, Any]], given: dict[str, Any], place: str) -> dict[str, Any]:
    """Check a record against a schema of `{name: {type, default, fields}}` and fill in the defaults."""
    known = {name: options for one in fields for name, options in one.items()}
    for name in given:
        if name not in known:
            raise ConfigurationError(f"{place}.{name}: unknown field")
    found = {}
    for name, options in known.items():
        value = given.get(name)
        if options.get("type") == "record":
            found[name] = _with_defaults(options.get("fields", []), value or {}, f"{place}.{name}")
            continue
        value = options.get("default") if value is None else value
        if value is not None and value not in options.get("one_of", [value]):
            raise ConfigurationError(f"{place}.{name}: expected one of: {', '.join(options['one_of'])}")
        if value is not None:
            found[name] = value
        elif options.get("required"):
            raise ConfigurationError(f"{place}.{name}: required field missing")
    return found
