"""The two phases of the plugin: the only file that talks to `kong`.

`access` decides from memory whether a request may pass; `log` turns what Kong knows of it into a usage record. Neither
ever waits for a file, the network or a lock.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import structlog

from tollkeeper_kong.exchange import Exchange, NotAnExchange, exchange_from_serialize
from tollkeeper_kong.instances import Config
from tollkeeper_kong.llm import LlmUsage
from tollkeeper_kong.pdk import Call, Steps, response_exit
from tollkeeper_kong.record import usage_record
from tollkeeper_kong.schema import read_policy, read_scope
from tollkeeper_kong.spool import Spool

SERIALIZE = Call("kong.log.serialize")
GET_CONSUMER = Call("kong.client.get_consumer")
INTERNAL_ERROR = response_exit(500, '{"message":"An unexpected error occurred","code":"plugin_failed"}', {})

log = structlog.get_logger()


@dataclass(slots=True)
class HandlerCounters:
    """What the two phases have done, all instances together."""

    recorded: int = 0
    unreadable: int = 0
    config_problems: int = 0


@dataclass(slots=True)
class Node:
    """What all instances of this process share."""

    name: str
    spool: Spool
    counters: HandlerCounters = field(default_factory=HandlerCounters)


class Tollkeeper:
    """One configuration of the plugin."""

    def __init__(self, config: Config, node: Node) -> None:
        self._node = node
        self._policy, wrong = read_policy(config)
        self._scope = read_scope(config)
        if wrong:
            node.counters.config_problems += 1
            log.error("config_not_usable", fields=wrong, plugin_id=str(config.get("__plugin_id"))[:64])
        self.phases: dict[str, Callable[[], Steps]] = {"access": self.access, "log": self.log}

    def failure_answer(self, phase: str) -> Call | None:
        """Let the request pass, or answer 500 where the configuration says so."""
        return None if self._policy.fault_tolerant or phase != "access" else INTERNAL_ERROR

    def access(self) -> Generator[Call, Any, None]:
        """Decide whether the request may pass."""
        if self._policy.enforce == "off":
            return
        yield GET_CONSUMER

    def log(self) -> Generator[Call, Any, None]:
        """Record the request."""
        text = yield SERIALIZE
        try:
            exchange = exchange_from_serialize(text)
        except NotAnExchange:
            self._node.counters.unreadable += 1
            raise
        self._keep(exchange, None)

    def _keep(self, exchange: Exchange, llm: LlmUsage | None) -> None:
        self._node.counters.recorded += 1
        self._node.spool.append(usage_record(exchange, node=self._node.name, llm=llm))
