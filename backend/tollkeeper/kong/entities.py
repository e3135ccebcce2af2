"""Consumers, services and routes as Kong gives them, whichever way we read it; pure."""

import uuid
from dataclasses import dataclass, field

# kong/db/schema/others/declarative_config.lua: an entity without an id gets a UUID of version 5 made of its
# kind and its name, so that it keeps its id over reloads.
KONG_NAMESPACE = uuid.UUID("fd02801f-0957-4a15-a55a-c8d9606f30b5")


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer; Kong asks for a username or a custom_id."""

    id: str
    username: str | None = None
    custom_id: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A service."""

    id: str
    name: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A route; `service_id` is None for one without a service."""

    id: str
    name: str | None = None
    service_id: str | None = None
    paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KongConfig:
    """What was read; `warnings` name entities that we cannot follow, with the fix."""

    consumers: tuple[Consumer, ...] = ()
    services: tuple[Service, ...] = ()
    routes: tuple[Route, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def declared_id(kind: str, name: str) -> str:
    """Return the id that Kong gives an entity of a declarative file: kind is "consumers", "routes", "services"."""
    return str(uuid.uuid5(uuid.uuid5(KONG_NAMESPACE, kind), name))
