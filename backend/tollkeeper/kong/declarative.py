"""Read a declarative kong.yml (DB-less, or decK's): the ids come out as Kong makes them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tollkeeper.errors import InvalidInput
from tollkeeper.kong.entities import Consumer, KongConfig, Route, Service, declared_id

MOST_BYTES = 32 << 20
NUL = "\x00"  # no database stores it, and no consumer has it in its name


def read_kong_file(path: Path) -> KongConfig:
    """Read a kong.yml from disk; raises InvalidInput naming file, line and fix."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInput.of(str(path), f"is larger than {MOST_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput.of(str(path), f"cannot be read: {error.strerror}; name a kong.yml") from None
    except UnicodeDecodeError as error:
        raise InvalidInput.of(str(path), f"is no UTF-8 text (byte {error.start})") from None
    return parse_kong_yml(text, name=str(path))


def parse_kong_yml(text: str, *, name: str = "kong.yml") -> KongConfig:
    """Read the text of a kong.yml; raises InvalidInput naming the line and the fix."""
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InvalidInput.of(
            f"{name}:{line}", f"is no YAML: {error.problem}; mend the line or the one above"
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidInput.of(name, f"is no YAML: {error}") from None
    reader = _Reader(name)
    reader.read(_Node(document))
    return KongConfig(
        consumers=tuple(reader.consumers),
        services=tuple(reader.services),
        routes=tuple(reader.routes),
        warnings=tuple(reader.warnings),
    )


@dataclass(frozen=True, slots=True)
class _Node:
    """A YAML node that knows its line."""

    raw: Any

    @property
    def line(self) -> int:
        return self.raw.start_mark.line + 1 if self.raw is not None else 1

    @property
    def is_null(self) -> bool:
        return self.raw is None or self.raw.tag == "tag:yaml.org,2002:null"

    def get(self, key: str) -> "_Node":
        pairs = self.raw.value if isinstance(self.raw, yaml.MappingNode) else ()
        found = [value for name, value in pairs if isinstance(name, yaml.ScalarNode) and name.value == key]
        return _Node(found[-1] if found else None)

    def items(self) -> "list[_Node]":
        return [_Node(item) for item in self.raw.value]


@dataclass(slots=True)
class _Reader:
    name: str
    consumers: list[Consumer] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def read(self, root: _Node) -> None:
        if not isinstance(root.raw, yaml.MappingNode):
            raise self._wrong(root, 'is no Kong configuration; it begins with `_format_version: "3.0"`')
        if root.get("_format_version").is_null:
            raise self._wrong(root, 'has no _format_version; add `_format_version: "3.0"` at its top')
        for service in self._list(root, "services"):
            self._read_service(service)
        for route in self._list(root, "routes"):
            self._read_route(route, self._service_of(route))
        for consumer in self._list(root, "consumers"):
            self._read_consumer(consumer)

    def _read_service(self, node: _Node) -> None:
        name = self._text(node, "name")
        service_id = self._id(node, "services", "name")
        if service_id is not None:
            self.services.append(Service(service_id, name, self._texts(node, "tags")))
        for route in self._list(node, "routes"):
            self._read_route(route, service_id)

    def _read_route(self, node: _Node, service_id: str | None) -> None:
        route_id = self._id(node, "routes", "name")
        if route_id is not None:
            paths, methods, tags = (self._texts(node, key) for key in ("paths", "methods", "tags"))
            self.routes.append(Route(route_id, self._text(node, "name"), service_id, paths, methods, tags))

    def _read_consumer(self, node: _Node) -> None:
        consumer_id = self._id(node, "consumers", "username")
        if consumer_id is not None:
            username, custom_id = self._text(node, "username"), self._text(node, "custom_id")
            self.consumers.append(Consumer(consumer_id, username, custom_id, self._texts(node, "tags")))

    def _id(self, node: _Node, kind: str, naming: str) -> str | None:
        given, name = self._text(node, "id"), self._text(node, naming)
        if given is not None:
            return given
        if name is not None:
            return declared_id(kind, name)
        # Kong would make a new random id at every load; nothing that we keep could refer to it.
        self.warnings.append(
            f"{self.name}:{node.line}: one of {kind} has neither id nor {naming}, so Kong gives it a new id at "
            f"every load; give it a {naming}"
        )
        return None

    def _service_of(self, route: _Node) -> str | None:
        """Follow `service: name`, `service: {name: ...}` or `service: {id: ...}` of a route on its own."""
        service = route.get("service")
        if service.is_null:
            return None
        if isinstance(service.raw, yaml.ScalarNode):
            named = service.raw.value
        else:
            named = self._text(service, "id") or self._text(service, "name")
        found = next((one.id for one in self.services if named in {one.id, one.name}), None)
        if found is None:
            raise self._wrong(service, f"names the service {named!r}, which is not in the file; mend its name")
        return found

    def _list(self, node: _Node, key: str) -> Iterator[_Node]:
        entities = node.get(key)
        if entities.is_null:
            return
        if not isinstance(entities.raw, yaml.SequenceNode):
            raise self._wrong(entities, f"{key} must be a list; begin each entry with `- `")
        for entity in entities.items():
            if not isinstance(entity.raw, yaml.MappingNode):
                raise self._wrong(entity, f"an entry of {key} must hold fields like `name: ...`")
            yield entity

    def _text(self, node: _Node, key: str) -> str | None:
        value = node.get(key)
        if value.is_null:
            return None
        if not isinstance(value.raw, yaml.ScalarNode) or not value.raw.value or NUL in value.raw.value:
            raise self._wrong(value, f"{key} must be a text, without a NUL character")
        return str(value.raw.value)

    def _texts(self, node: _Node, key: str) -> tuple[str, ...]:
        values = node.get(key)
        if values.is_null:
            return ()
        if not isinstance(values.raw, yaml.SequenceNode):
            raise self._wrong(values, f"{key} must be a list of texts")
        for item in values.items():
            if not isinstance(item.raw, yaml.ScalarNode) or NUL in item.raw.value:
                raise self._wrong(item, f"{key} must be a list of texts, without a NUL character")
        return tuple(str(item.raw.value) for item in values.items())

    def _wrong(self, node: _Node, message: str) -> InvalidInput:
        return InvalidInput.of(f"{self.name}:{node.line}", message)
