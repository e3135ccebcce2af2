"""Kong's side of the MessagePack-RPC with a plugin server: connections, instances, events.

Written after kong/runloop/plugin_servers/{plugin,rpc/mp_rpc}.lua of Kong 3.9. Each call takes a connection of the
pool for itself, so the steps of one event may travel on different connections.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import msgpack

from tests.gateway.configuration import Plugin
from tests.gateway.exchange import Exchange
from tests.gateway.pdk import STEP_METHODS, Binary, call_pdk

MOST_IDLE_CONNECTIONS = 512
MOST_RESTARTS = 20  # Kong recurses without a limit; a test should end


class RpcError(Exception):
    """The plugin server answered with an error, or not at all. Kong logs it and skips the plugin."""


class InstanceNotStarted(Exception):
    """No instance could be started: Kong answers 500."""


@dataclass
class _Instance:
    seq: int
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    id: int | None = None


class _Connection:
    """One unix connection; carries one call at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape", strict_map_key=False)

    async def call(self, frame: bytes) -> list[Any]:
        """Send a frame and return the response; notifications before it are dropped."""
        self._writer.write(frame)
        while True:
            for message in self._unpacker:
                if message[0] == 1:
                    found: list[Any] = message
                    return found
            received = await self._reader.read(65536)
            if not received:
                raise RpcError("no data")
            self._unpacker.feed(received)

    def close(self) -> None:
        self._writer.close()

    @property
    def is_closed(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()


class PluginServer:
    """A plugin server behind a socket, as one nginx worker sees it."""

    def __init__(self, name: str, socket: str, *, read_timeout: float = 60.0) -> None:
        self.name = name
        self.workers: list[PluginServer] = [self]  # all that reset their instances together, this one among them
        self.failures: dict[str, int] = {}
        self._socket = socket
        self._read_timeout = read_timeout
        self._idle: list[_Connection] = []
        self._message_id = 0
        self._instances: dict[str, _Instance] = {}

    async def run_phase(self, plugin: Plugin, config: dict[str, Any], phase: str, exchange: Exchange) -> None:
        """Run one phase of a plugin for a request.

        A plugin server that is away, dies or is too slow lets the request pass, as Kong does. Raises
        InstanceNotStarted, PdkRefusal (500 in access) and KongExit.
        """
        for _ in range(MOST_RESTARTS):
            try:
                instance = await self._instance(plugin, config)
                await self._bridge(instance, phase, exchange)
            except RpcError as error:
                self.failures[str(error)[:60]] = self.failures.get(str(error)[:60], 0) + 1
                if "no plugin instance" in str(error).lower():
                    for worker in self.workers:  # the server started anew: none of its instances is left
                        worker._instances.clear()
                    continue
            return

    def another_worker(self) -> "PluginServer":
        """Return the same server as a worker sees it that has just started: no connection, no instance."""
        return PluginServer(self.name, self._socket, read_timeout=self._read_timeout)

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _bridge(self, instance_id: int, phase: str, exchange: Exchange) -> None:
        step = await self._call("plugin.HandleEvent", {"InstanceId": instance_id, "EventName": phase})
        event_id = step["EventId"]
        while step["Data"] != "ret":
            method = step["Data"]["Method"]
            arguments = step["Data"].get("Args")
            result = call_pdk(exchange, phase, method, arguments if isinstance(arguments, list) else [])
            reply = {"EventId": event_id} if result is None else {"Data": result, "EventId": event_id}
            step = await self._call(STEP_METHODS.get(method, "plugin.Step"), reply)

    async def _instance(self, plugin: Plugin, config: dict[str, Any]) -> int:
        """Return the plugin's instance, started at the first request; others wait for the one who starts it."""
        while True:
            instance = self._instances.get(plugin.id)
            if instance is None or (instance.id is not None and instance.seq != config["__seq__"]):
                return await self._start_instance(plugin, config, instance)
            if instance.id is not None:
                return instance.id
            await instance.ready.wait()

    async def _start_instance(self, plugin: Plugin, config: dict[str, Any], old: _Instance | None) -> int:
        instance = self._instances[plugin.id] = _Instance(config["__seq__"])
        text = json.dumps(config, ensure_ascii=False, separators=(",", ":"))
        try:
            status = await self._call("plugin.StartInstance", {"Config": text, "Name": plugin.name})
            instance.id = status["Id"]
        except RpcError as error:
            raise InstanceNotStarted(str(error)) from None
        finally:
            if instance.id is None and self._instances.get(plugin.id) is instance:
                del self._instances[plugin.id]
            instance.ready.set()
        if old is not None and old.id is not None:
            await self._close_instance(old.id)
        assert instance.id is not None
        return instance.id

    async def _close_instance(self, instance_id: int) -> None:
        try:
            await self._call("plugin.CloseInstance", instance_id)
        except RpcError:
            return  # Kong does not care: another thread may have closed it

    async def _call(self, method: str, argument: object) -> Any:
        self._message_id += 1
        message_id = self._message_id
        frame = pack_request(message_id, method, argument)
        connection = await self._connection()
        answered = False
        try:
            async with asyncio.timeout(self._read_timeout):
                response = await connection.call(frame)
            answered = True
        except TimeoutError:
            raise RpcError("timeout") from None
        except (ConnectionError, ValueError) as error:
            raise RpcError(f"no data: {error}") from None
        finally:
            if answered and len(self._idle) < MOST_IDLE_CONNECTIONS:
                self._idle.append(connection)
            else:
                connection.close()
        if response[1] != message_id:
            raise RpcError("unexpected RPC response ID")
        if response[2] is not None:
            raise RpcError(str(response[2]))
        return response[3]

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed:
                return connection
            connection.close()
        try:
            return _Connection(*await asyncio.open_unix_connection(self._socket))
        except OSError as error:
            raise RpcError(f"trying to connect: {error}") from None


def pack_request(message_id: int, method: str, argument: object) -> bytes:
    """Write a request as Kong's MessagePack library does: strings without the 8-bit form, binary only where meant."""
    packer = msgpack.Packer(use_bin_type=False, unicode_errors="surrogateescape")
    if isinstance(argument, dict) and isinstance(argument.get("Data"), Binary):
        return _pack_with_binary(message_id, method, argument)
    packed: bytes = packer.pack([0, message_id, method, [argument]])
    return packed


def _pack_with_binary(message_id: int, method: str, argument: dict[str, Any]) -> bytes:
    packer = msgpack.Packer(use_bin_type=False, autoreset=False)
    packer.pack_array_header(4)
    for value in (0, message_id, method):
        packer.pack(value)
    packer.pack_array_header(1)
    packer.pack_map_header(2)
    packer.pack("Data")
    binary = msgpack.Packer(use_bin_type=True).pack(bytes(argument["Data"]))
    tail = msgpack.Packer(use_bin_type=False)
    packed: bytes = packer.bytes() + binary + tail.pack("EventId") + tail.pack(argument["EventId"])
    return packed
