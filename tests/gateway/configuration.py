"""Read a declarative `kong.yml`, as much of it as the tests' gateway simulates.

What it does not simulate is an error that names the place: a test must never pass because a plugin was ignored.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import yaml

WORKSPACE = "0dc6f45b-8f8d-40d2-a504-473544ee190b"  # Kong's default workspace in DB-less mode
ENTITIES = UUID("fd02801f-0957-4a15-a55a-c8d9606f30b5")  # kong/db/schema/others/declarative_config.lua

SERVICE_DEFAULTS = {
    "protocol": "http", "port": 80, "retries": 5, "connect_timeout": 60000, "write_timeout": 60000,
    "read_timeout": 60000, "enabled": True,
}  # fmt: skip
ROUTE_DEFAULTS = {
    "protocols": ["http", "https"], "strip_path": True, "preserve_host": False, "regex_priority": 0,
    "path_handling": "v0", "https_redirect_status_code": 426, "request_buffering": True, "response_buffering": True,
}  # fmt: skip
SERVICE_KEYS = {*SERVICE_DEFAULTS, "id", "name", "host", "path", "url", "tags", "routes", "plugins"}
ROUTE_KEYS = {*ROUTE_DEFAULTS, "id", "name", "paths", "methods", "hosts", "tags", "service", "plugins"}
CONSUMER_KEYS = {"id", "username", "custom_id", "tags", "keyauth_credentials", "plugins"}
PLUGIN_KEYS = {
    "id", "name", "config", "enabled", "tags", "protocols", "service", "route", "consumer", "instance_name"
}  # fmt: skip
TOP_KEYS = {"_format_version", "_transform", "_comment", "services", "routes", "consumers", "plugins",
            "keyauth_credentials"}  # fmt: skip


class ConfigurationError(ValueError):
    """The file cannot be used; the message names the place."""


@dataclass(frozen=True)
class Plugin:
    """A configured plugin and the entity that it is scoped to (ids, or None)."""

    id: str
    name: str
    config: dict[str, Any]
    place: str
    route_id: str | None = None
    service_id: str | None = None
    consumer_id: str | None = None

    @property
    def key(self) -> str:
        """Kong's cache key of the plugin: `__key__` in what the plugin server gets."""
        scope = (self.route_id or "", self.service_id or "", self.consumer_id or "", "")
        return ":".join(("plugins", self.name, *scope, WORKSPACE))


@dataclass
class Configuration:
    """The entities of a `kong.yml`, by id, each a dictionary as Kong's PDK and logs show it."""

    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    consumers: dict[str, dict[str, Any]] = field(default_factory=dict)
    credentials: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the key
    plugins: list[Plugin] = field(default_factory=list)

    def find_by_name(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return a service, route or consumer by its id or name."""
        entities: dict[str, dict[str, Any]] = getattr(self, kind)
        label = "username" if kind == "consumers" else "name"
        return entities.get(name) or next((one for one in entities.values() if one.get(label) == name), None)


def entity_id(schema: str, key: str) -> str:
    """Return the id that Kong derives for a declarative entity without one."""
    return str(uuid5(uuid5(ENTITIES, schema), key))


def read_configuration(path: Path) -> Configuration:
    """Read and check a file. Raises ConfigurationError with the place of what is wrong or not simulated."""
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: is no YAML: {error}") from None
    return configuration_of(document)


def configuration_of(document: object, now: Callable[[], float] = time.time) -> Configuration:
    """Build the entities of a parsed file."""
    if not isinstance(document, dict):
        raise ConfigurationError("the file must hold a mapping with _format_version")
    if document.get("_format_version") != "3.0":
        raise ConfigurationError('_format_version: must be "3.0"')
    _check_keys(document, TOP_KEYS, "")
    return _Builder(int(now())).build(document)


class _Builder:
    """Walks the document from services to plugins; nested entities refer to their parent."""

    def __init__(self, created_at: int) -> None:
        self.found = Configuration()
        self.stamps = {"created_at": created_at, "updated_at": created_at}

    def build(self, document: Mapping[str, Any]) -> Configuration:
        for place, service in _items(document, "services", ""):
            self._service(service, place)
        for place, route in _items(document, "routes", ""):
            self._route(route, place, self._reference(route, "service", "services", place))
        for place, consumer in _items(document, "consumers", ""):
            self._consumer(consumer, place)
        for place, credential in _items(document, "keyauth_credentials", ""):
            self._credential(credential, place, self._reference(credential, "consumer", "consumers", place))
        for place, plugin in _items(document, "plugins", ""):
            self._plugin(plugin, place, {})
        return self.found

    def _service(self, given: dict[str, Any], place: str) -> None:
        _check_keys(given, SERVICE_KEYS, place)
        name = _text(given, "name", place)
        service = {
            **SERVICE_DEFAULTS,
            **_without(given, "routes", "plugins", "url"),
            **(_from_url(given["url"], place) if "url" in given else {}),
            **self.stamps,
            "id": given.get("id") or entity_id("services", name),
            "ws_id": WORKSPACE,
        }
        if not service.get("host"):
            raise ConfigurationError(f"{place}.host: is missing; give host or url")
        self.found.services[service["id"]] = service
        for inner, route in _items(given, "routes", place):
            self._route(route, inner, service["id"])
        for inner, plugin in _items(given, "plugins", place):
            self._plugin(plugin, inner, {"service_id": service["id"]})

    def _route(self, given: dict[str, Any], place: str, service_id: str | None) -> None:
        _check_keys(given, ROUTE_KEYS, place)
        name = _text(given, "name", place)
        if not any(given.get(condition) for condition in ("paths", "methods", "hosts")):
            raise ConfigurationError(f"{place}: needs at least one of paths, methods, hosts")
        route = {
            **ROUTE_DEFAULTS,
            **_without(given, "plugins", "service"),
            **self.stamps,
            "id": given.get("id") or entity_id("routes", name),
            "ws_id": WORKSPACE,
        }
        if service_id:
            route["service"] = {"id": service_id}
        self.found.routes[route["id"]] = route
        for inner, plugin in _items(given, "plugins", place):
            self._plugin(plugin, inner, {"route_id": route["id"]})

    def _consumer(self, given: dict[str, Any], place: str) -> None:
        _check_keys(given, CONSUMER_KEYS, place)
        name = given.get("username") or given.get("custom_id")
        if not isinstance(name, str):
            raise ConfigurationError(f"{place}: needs a username or a custom_id")
        consumer = {
            **_without(given, "keyauth_credentials", "plugins"),
            **self.stamps,
            "id": given.get("id") or entity_id("consumers", name),
        }
        self.found.consumers[consumer["id"]] = consumer
        for inner, credential in _items(given, "keyauth_credentials", place):
            self._credential(credential, inner, consumer["id"])
        for inner, plugin in _items(given, "plugins", place):
            self._plugin(plugin, inner, {"consumer_id": consumer["id"]})

    def _credential(self, given: dict[str, Any], place: str, consumer_id: str | None) -> None:
        _check_keys(given, {"id", "key", "tags", "ttl", "consumer"}, place)
        key = _text(given, "key", place)
        if consumer_id is None:
            raise ConfigurationError(f"{place}.consumer: is missing")
        if key in self.found.credentials:
            raise ConfigurationError(f"{place}.key: is used twice")
        self.found.credentials[key] = {
            "id": given.get("id") or entity_id("keyauth_credentials", key),
            "key": key,
            "consumer": {"id": consumer_id},
            "created_at": self.stamps["created_at"],
        }

    def _plugin(self, given: dict[str, Any], place: str, scope: dict[str, str | None]) -> None:
        _check_keys(given, PLUGIN_KEYS, place)
        name = _text(given, "name", place)
        scope = {
            "route_id": self._reference(given, "route", "routes", place),
            "service_id": self._reference(given, "service", "services", place),
            "consumer_id": self._reference(given, "consumer", "consumers", place),
        } | scope
        if given.get("enabled", True):
            parts = [scope["route_id"], scope["service_id"], scope["consumer_id"]]
            derived = entity_id("plugins", ":".join(["plugins", name, *(part or "" for part in parts)]))
            plugin_id = given.get("id") or derived
            self.found.plugins.append(Plugin(plugin_id, name, dict(given.get("config") or {}), place, **scope))

    def _reference(self, given: Mapping[str, Any], key: str, kind: str, place: str) -> str | None:
        value = given.get(key)
        if value is None:
            return None
        name = (value.get("id") or value.get("name")) if isinstance(value, dict) else value
        entity = self.found.find_by_name(kind, str(name))
        if entity is None:
            raise ConfigurationError(f"{place}.{key}: there is no {key} {name!r}")
        found: str = entity["id"]
        return found


def _items(holder: Mapping[str, Any], key: str, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    items = holder.get(key) or []
    prefix = f"{place}.{key}" if place else key
    if not isinstance(items, list):
        raise ConfigurationError(f"{prefix}: must be a list")
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise ConfigurationError(f"{prefix}[{index}]: must be a mapping")
        yield f"{prefix}[{index}]", item


def _check_keys(given: Mapping[str, Any], known: set[str], place: str) -> None:
    for key in given:
        if key not in known:
            raise ConfigurationError(f"{place}.{key}: is not simulated by the tests' gateway".lstrip("."))


def _text(given: Mapping[str, Any], key: str, place: str) -> str:
    value = given.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{place}.{key}: must be a text")
    return value


def _without(given: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in keys and value is not None}


def _from_url(url: object, place: str) -> dict[str, Any]:
    parts = urlsplit(str(url))
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{place}.url: must be like http://host:port/path")
    found = {"protocol": parts.scheme, "host": parts.hostname}
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {**found, "port": port} | ({"path": parts.path} if parts.path not in {"", "/"} else {})
