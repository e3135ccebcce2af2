"""Plugin instances: one for each configuration and nginx worker, with ids that no restart repeats."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tollkeeper_kong.pdk import Call, Steps

Config = dict[str, Any]

_EPOCH = 1_577_836_800  # 2020-01-01: keeps ids below 2**53, the largest integer that Lua holds exactly, until 2088
_SPREAD = 0x9E3779B1  # odd, so that neighbouring process ids land far from each other


class Plugin(Protocol):
    """What a configuration of a plugin offers to the engine."""

    @property
    def phases(self) -> Mapping[str, Callable[[], Steps]]:
        """The handlers, by phase."""
        ...

    def failure_answer(self, phase: str) -> Call | None:
        """Return the call that ends an event whose handler failed; None lets the request pass."""
        ...


class UnknownInstance(LookupError):
    """Kong resets its instances when an error says "no plugin instance"."""

    def __init__(self, instance_id: object) -> None:
        super().__init__(f"no plugin instance #{instance_id}")


class Instance:
    """A running configuration; `last_used` is the engine's time, for eviction."""

    __slots__ = ("config", "instance_id", "last_used", "name", "phases", "plugin", "start_time")

    def __init__(self, instance_id: int, name: str, config: Config, plugin: Plugin, now: float) -> None:
        self.instance_id = instance_id
        self.name = name
        self.config = config
        self.plugin = plugin
        self.phases = plugin.phases
        self.start_time = time.time()
        self.last_used = now

    def status(self) -> dict[str, object]:
        """Return what Kong is told of an instance, in kong-pdk's order of keys."""
        return {"Name": self.name, "Id": self.instance_id, "Config": self.config, "StartTime": self.start_time}


def first_id(seconds: float | None = None, pid: int | None = None) -> int:
    """Return where ids begin, from the time and the process id.

    A stale id of a server that is gone must never name something of this one: Kong would run a request with another
    route's configuration.
    """
    now = int(time.time() if seconds is None else seconds) - _EPOCH
    return (now << 22) | ((os.getpid() if pid is None else pid) * _SPREAD & 0x3FFFFF)


class Instances:
    """The instances of this server, at most `most`; the least recently used makes room.

    Kong closes an instance that it replaces, but a worker that ends closes none. It starts an evicted one again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._next_id = first_id()
        self.by_id: dict[object, Instance] = {}
        self.evicted = 0

    def start(self, name: str, config: Config, plugin: Plugin, now: float) -> Instance:
        """Keep a new instance under a new id."""
        if len(self.by_id) >= self._most:
            self._evict()
        instance = Instance(self._next_id, name, config, plugin, now)
        self._next_id += 1
        self.by_id[instance.instance_id] = instance
        return instance

    def get(self, instance_id: object) -> Instance:
        """Return an instance; raises UnknownInstance."""
        try:
            return self.by_id[instance_id]
        except (KeyError, TypeError):
            raise UnknownInstance(instance_id) from None

    def close(self, instance_id: object) -> Instance:
        """Forget an instance and return it; events that it has begun still end."""
        instance = self.get(instance_id)
        del self.by_id[instance_id]
        return instance

    def _evict(self) -> None:
        oldest = min(self.by_id.values(), key=lambda instance: instance.last_used)
        del self.by_id[oldest.instance_id]
        self.evicted += 1
