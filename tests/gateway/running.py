"""Parts that the gateway's tests run: upstreams, gateways, a plugin server that does what a test tells it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgpack
import yaml
from aiohttp import web

from tests.gateway.configuration import configuration_of
from tests.gateway.plugin_rpc import PluginServer
from tests.gateway.plugins import ExternalPlugin, PluginSet
from tests.gateway.proxy import Gateway
from tests.gateway.upstreams import build_app
from tests.waiting import PATIENCE_SECONDS

ROUTES = """
_format_version: "3.0"
services:
  - name: echo
    host: 127.0.0.1
    port: 18080
    routes:
      - {name: open, paths: [/open]}
      - {name: keyed, paths: [/keyed], plugins: [{name: key-auth, config: {key_names: [apikey]}}]}
consumers:
  - {username: alice, custom_id: alice-42, tags: [team-a], keyauth_credentials: [{key: alice-key}]}
"""
WITH_PLUGIN = ROUTES + "plugins: [{name: toy, config: {message: m1}}]\n"


class Silence:
    """A reply that never comes."""


class Death:
    """The plugin server dies: every connection breaks."""


Reply = object
Script = Callable[[str, Any], Reply]


class ScriptedServer:
    """A plugin server whose replies a test gives: a result, an exception as the error, Silence or Death."""

    def __init__(self, path: Path, script: Script) -> None:
        self.path = path
        self.script = script
        self.calls: list[tuple[str, Any]] = []
        self.frames: list[bytes] = []
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._connections):
            writer.close()
        self.path.unlink(missing_ok=True)
        await asyncio.sleep(0)

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def named(self, method: str) -> list[Any]:
        return [argument for name, argument in self.calls if name == method]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape")
        try:
            while received := await reader.read(65536):
                self.frames.append(received)
                unpacker.feed(received)
                for _, message_id, method, arguments in unpacker:
                    await self._answer(writer, message_id, method, arguments[0])
        except ConnectionError:
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, message_id: int, method: str, argument: Any) -> None:
        self.calls.append((method, argument))
        reply = self.script(method, argument)
        if isinstance(reply, Awaitable):
            reply = await reply
        if isinstance(reply, Death):
            await self.stop()
        elif isinstance(reply, Exception):
            writer.write(msgpack.packb([1, message_id, str(reply), None]))
        elif not isinstance(reply, Silence):
            writer.write(msgpack.packb([1, message_id, None, reply]))


def plain_script(*, access: tuple[str, list[Any]] | None = None, log: tuple[str, list[Any]] | None = None) -> Script:
    """A plugin that makes at most one PDK call per phase."""
    calls = {"access": access, "log": log}
    state = {"event": 0}

    def script(method: str, argument: Any) -> Reply:
        if method == "plugin.StartInstance":
            return {"Id": 7, "Name": argument["Name"], "Config": {}, "StartTime": 0.0}
        if method == "plugin.CloseInstance":
            return {"Id": argument, "Name": "toy", "Config": {}}
        if method == "plugin.HandleEvent":
            state["event"] += 1
            call = calls[argument["EventName"]]
            asked = "ret" if call is None else {"Method": call[0], "Args": call[1]}
            return {"EventId": state["event"], "Data": asked}
        return {"EventId": argument["EventId"], "Data": "ret"}

    return script


@contextlib.asynccontextmanager
async def running_upstream(app: web.Application | None = None) -> AsyncIterator[int]:
    """Serve an application (Kong Air's upstreams by default); gives the port."""
    runner = web.AppRunner(app or build_app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def running_gateway(
    text: str,
    *,
    upstream: int,
    socket: Path | None = None,
    file_log: Path | None = None,
    read_timeout: float = PATIENCE_SECONDS,
    seq: int = 1,
    workers: int = 1,
) -> AsyncIterator[tuple[Gateway, int]]:
    """Serve a configuration whose services all go to one upstream; the plugin `toy` lives behind the socket."""
    configuration = configuration_of(yaml.safe_load(text))
    external = {"toy": ExternalPlugin("toy", str(socket))} if socket else {}
    gateway = Gateway(
        configuration,
        PluginSet(configuration, external, file_log, seq),
        {name: PluginServer(name, one.socket, read_timeout=read_timeout) for name, one in external.items()},
        {service["name"]: f"127.0.0.1:{upstream}" for service in configuration.services.values()},
        workers,
    )
    port = await gateway.start("127.0.0.1", 0)
    try:
        yield gateway, port
    finally:
        await gateway.stop()


async def raw_request(port: int, request: bytes) -> bytes:
    """Send bytes and read until the answer ends (`Connection: close` is up to the caller)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def get(port: int, target: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """GET something; returns status, headers and body. Header names with _ for -."""
    lines = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1:8000", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    answer = await raw_request(port, "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    found = dict(line.lower().split(": ", 1) for line in rest)
    return int(first.split()[1]), found, body


async def eventually(condition: Callable[[], object], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds; fails the test if it never does."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never came true"
        await asyncio.sleep(0.005)
