"""The gateway for tests and the demo: real HTTP in, Kong's phases, real HTTP out. No gateway for production.

It has workers that share one process, no TLS, no balancing, no websockets, and no care for hostile clients.
"""

import asyncio
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.gateway.configuration import Configuration, Plugin
from tests.gateway.exchange import KONG_VERSION, Exchange, KongExit
from tests.gateway.lua import LuaFunctions
from tests.gateway.messages import add_kong_headers, answer_like, balancer_try, own_body, upstream_headers
from tests.gateway.pdk import PdkRefusal
from tests.gateway.plugin_rpc import InstanceNotStarted, PluginServer
from tests.gateway.plugins import PluginSet, check_key, terminate
from tests.gateway.routing import Router

MOST_LOG_TIMERS = 4096  # lua_max_running_timers of Kong: more are thrown away, silently for the client
LARGEST_BODY = 64 * 1024 * 1024
UNEXPECTED = KongExit(500, {"message": "An unexpected error occurred"})


@dataclass
class Gateway:
    """The tests' gateway: an event loop that plays one or several nginx workers.

    A worker is what Kong keeps per worker: the plugin server's instances and the pool of connections to it.
    """

    configuration: Configuration
    plugins: PluginSet
    servers: dict[str, PluginServer]  # as the first worker sees them
    upstreams: Mapping[str, str] = field(default_factory=dict)  # service name -> host:port
    workers: int = 1
    counters: Counter[str] = field(default_factory=Counter)
    _running: dict[int, dict[str, PluginServer]] = field(default_factory=dict)  # by number; those that end too
    _current: list[int] = field(default_factory=list)  # numbers of the workers that take requests
    _exchanges: Counter[int] = field(default_factory=Counter)  # by worker: requests and log timers under way
    _log_tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _session: aiohttp.ClientSession | None = None
    _runner: web.ServerRunner | None = None
    _port: int = 0

    def __post_init__(self) -> None:
        self._router = Router(self.configuration)
        self._start_workers([self.servers, *({} for _ in range(self.workers - 1))])

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=60, sock_read=60),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        server = web.Server(self.answer, request_factory=_request, access_log=None)
        self._runner = web.ServerRunner(server, handler_cancellation=True, shutdown_timeout=5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self._port

    async def stop(self) -> None:
        """Stop listening, wait for the log phases, close the connections."""
        if self._runner:
            await self._runner.cleanup()
        if self._log_tasks:
            await asyncio.wait(set(self._log_tasks), timeout=10)
        for number in list(self._running):
            await self._close_worker(number)
        if self._session:
            await self._session.close()

    def reload(self, configuration: Configuration) -> None:
        """Take a new configuration, as `POST /config` does: the next request starts new plugin instances."""
        self.plugins = PluginSet(configuration, self.plugins.external, self.plugins.file_log, seq=self.plugins.seq + 1)
        self.configuration, self._router = configuration, Router(configuration)

    async def restart_workers(self, configuration: Configuration) -> None:
        """Do what `kong reload` does: new workers take what comes, the old ones end with their last request."""
        old, self._current = self._current, []
        self.reload(configuration)
        self._start_workers([{} for _ in range(self.workers)])
        for number in old:
            await self._close_if_over(number)

    def _start_workers(self, seen: list[dict[str, PluginServer]]) -> None:
        first = max(self._running, default=-1) + 1
        for number, servers in enumerate(seen, first):
            known = servers or {name: server.another_worker() for name, server in self.servers.items()}
            self._running[number] = known
            self._current.append(number)
        for name in self.servers:
            together = [self._running[number][name] for number in self._current]
            for server in together:
                server.workers = together

    async def _close_if_over(self, number: int) -> None:
        if number not in self._current and not self._exchanges[number]:
            await self._close_worker(number)

    async def _close_worker(self, number: int) -> None:
        for server in self._running.pop(number, {}).values():
            await server.close()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Run a request through the phases."""
        exchange = await self._exchange(request)
        self._exchanges[exchange.worker] += 1
        plugins: list[Plugin] = []
        try:
            try:
                plugins = await self._access(exchange)
                return await self._proxy(request, exchange, plugins)
            except KongExit as made:
                return await self._send_own(request, exchange, made)
        except (asyncio.CancelledError, ConnectionError):
            exchange.status = 499  # the client went away; the log phase runs all the same
            raise
        finally:
            self._log(exchange, plugins or self.plugins.for_request(exchange))
            self._exchanges[exchange.worker] -= 1
            await self._close_if_over(exchange.worker)

    async def _exchange(self, request: web.BaseRequest) -> Exchange:
        headers = [(name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape"))
                   for name, value in request.raw_headers]  # fmt: skip
        target = request.path_qs if not isinstance(request._message.path, str) else request._message.path
        head = len(request.method) + len(target) + 12 + sum(len(n) + len(v) + 4 for n, v in request.raw_headers) + 2
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await request.read()
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self.counters["exchanges"] += 1
        return Exchange(
            worker=self._current[self.counters["exchanges"] % len(self._current)],
            id=secrets.token_hex(16),
            method=request.method,
            target=target,
            request_headers=headers,
            body=body,
            request_size=head + len(body),
            client_ip=peer[0] if peer else "127.0.0.1",
            client_port=peer[1] if peer else 0,
            listen_port=self._port,
        )

    async def _access(self, exchange: Exchange) -> list[Plugin]:
        exchange.match = self._router.find_match(exchange.method, exchange.header("host") or "", exchange.path)
        if exchange.match is None:
            raise KongExit(404, {"message": "no Route matched with those values"})
        exchange.upstream_uri = exchange.match.upstream_path + exchange.target[len(exchange.path) :]
        done: set[str] = set()
        while True:
            plugins = self.plugins.for_request(exchange)
            plugin = next((one for one in plugins if one.name not in done), None)
            if plugin is None:
                return plugins
            done.add(plugin.name)
            await self._run_access(plugin, exchange)

    async def _run_access(self, plugin: Plugin, exchange: Exchange) -> None:
        if plugin.name == "key-auth":
            check_key(plugin, self.configuration, exchange)
        elif plugin.name == "request-termination":
            terminate(plugin)
        elif plugin.id in self.plugins.lua:
            self.plugins.lua[plugin.id].run("access", exchange)
        elif plugin.name in self.servers and "access" in self.plugins.external[plugin.name].phases:
            exchange.nginx_ctx["plugin_id"] = plugin.id
            server = self._running[exchange.worker][plugin.name]
            try:
                await server.run_phase(plugin, self.plugins.configs[plugin.id], "access", exchange)
            except (InstanceNotStarted, PdkRefusal) as error:
                self.counters[f"access 500: {type(error).__name__}"] += 1
                raise UNEXPECTED from error

    async def _proxy(self, request: web.BaseRequest, exchange: Exchange, plugins: list[Plugin]) -> web.StreamResponse:
        assert exchange.match is not None
        if exchange.match.service is None:
            raise KongExit(503, {"message": "no Service found with those values"})
        exchange.kong_ms = exchange.elapsed_ms()
        sent = time.monotonic()
        upstream = await self._ask_upstream(exchange)
        try:
            exchange.proxy_ms = int((time.monotonic() - sent) * 1000)
            exchange.source, exchange.status = "upstream", upstream.status
            exchange.upstream_status = str(upstream.status)
            received = time.monotonic()
            answer = await self._stream(request, exchange, upstream, plugins)
        except aiohttp.ClientError:
            raise ConnectionResetError("the upstream broke off") from None
        else:
            exchange.receive_ms = int((time.monotonic() - received) * 1000)
            return answer
        finally:
            upstream.release() if upstream.content.at_eof() else upstream.close()

    async def _ask_upstream(self, exchange: Exchange) -> aiohttp.ClientResponse:
        assert self._session is not None
        assert exchange.match is not None
        service = exchange.match.service
        assert service is not None
        host, port = self._address(service)
        exchange.upstream_uri = exchange.match.upstream_path + (
            f"?{exchange.raw_query}" if "?" in exchange.target else ""
        )
        url = URL(f"{service['protocol']}://{host}:{port}{exchange.upstream_uri}", encoded=True)
        headers = upstream_headers(exchange, f"{host}:{port}")
        for _ in range(service["retries"] + 1):
            exchange.tries.append(balancer_try(host, port))
            try:
                return await self._session.request(
                    exchange.method, url, data=exchange.body or None, headers=headers, allow_redirects=False
                )
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ClientError, TimeoutError):
                break
        exchange.upstream_status = "502"
        raise KongExit(502, {"message": "An invalid response was received from the upstream server"})

    def _address(self, service: Mapping[str, Any]) -> tuple[str, int]:
        override = self.upstreams.get(service.get("name", ""))
        if override is None:
            return service["host"], service["port"]
        host, _, port = override.rpartition(":")
        return host, int(port)

    async def _stream(
        self, request: web.BaseRequest, exchange: Exchange, upstream: aiohttp.ClientResponse, plugins: list[Plugin]
    ) -> web.StreamResponse:
        """Send the upstream's answer on, chunk by chunk, through the body filters."""
        filters = self._filters(plugins)
        answer = answer_like(upstream)
        chunks = self._chunks(exchange, upstream)
        if exchange.buffered:
            exchange.buffered_body = await upstream.read()
            chunks = _once(exchange.buffered_body)
        add_kong_headers(answer, exchange, [
            ("X-Kong-Upstream-Latency", str(exchange.proxy_ms)), ("X-Kong-Proxy-Latency", str(exchange.kong_ms)),
            ("Via", f"1.1 kong/{KONG_VERSION}"),
        ])  # fmt: skip
        writer = await self._prepare(request, exchange, answer)
        for function in filters:
            function.run("header_filter", exchange)
        try:
            async for chunk in chunks:
                left = _filtered(filters, exchange, chunk)
                if left:
                    await answer.write(left)
            _filtered(filters, exchange, b"", last=True)
            await answer.write_eof()
        finally:
            exchange.answer_size = writer.output_size
            for function in filters:
                function.publish(exchange)
        return answer

    async def _chunks(self, _: Exchange, upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        async for chunk in upstream.content.iter_any():
            yield chunk

    async def _prepare(self, request: web.BaseRequest, exchange: Exchange, answer: web.StreamResponse) -> Any:
        if "Content-Length" not in answer.headers and answer.status not in {204, 304}:
            answer.enable_chunked_encoding()
        answer.headers["Connection"] = "keep-alive" if request.keep_alive else "close"
        writer = await answer.prepare(request)
        exchange.answer_headers = [
            (name.lower(), "close" if name == "Connection" else value)  # what nginx shows in its log phase
            for name, value in answer.headers.items()
            if exchange.source == "upstream" or name != "Date"
        ]
        return writer

    async def _send_own(self, request: web.BaseRequest, exchange: Exchange, made: KongExit) -> web.StreamResponse:
        """Send an answer that Kong or a plugin made."""
        exchange.source, exchange.status = "kong", made.status
        body, kind = own_body(made, exchange.id)
        answer = web.StreamResponse(status=made.status)
        if kind:
            answer.headers["Content-Type"] = kind
        for name, value in made.headers.items():
            values = value if isinstance(value, list) else [value]
            answer.headers.popall(name, None)
            for one in values:
                answer.headers.add(name, str(one))
        answer.headers["Server"] = f"kong/{KONG_VERSION}"
        answer.headers["Content-Length"] = str(len(body))
        exchange.kong_ms = exchange.elapsed_ms()
        add_kong_headers(answer, exchange, [("X-Kong-Response-Latency", str(exchange.kong_ms))])
        writer = await self._prepare(request, exchange, answer)
        try:
            body = _filtered(self._filters(self.plugins.for_request(exchange)), exchange, body, last=True)
            if body and exchange.method != "HEAD":
                await answer.write(body)
            await answer.write_eof()
        finally:
            exchange.answer_size = writer.output_size
        return answer

    def _filters(self, plugins: list[Plugin]) -> list[LuaFunctions]:
        return [self.plugins.lua[plugin.id] for plugin in plugins if plugin.id in self.plugins.lua]

    def _log(self, exchange: Exchange, plugins: list[Plugin]) -> None:
        """Run the log phase: external plugins in a timer from saved data, file-log at once."""
        self.counters["requests"] += 1
        for plugin in plugins:
            if plugin.name == "file-log":
                _append(self.plugins.log_path(plugin), exchange.serialize())
            elif plugin.name in self.servers and "log" in self.plugins.external[plugin.name].phases:
                exchange.serialize()
                if len(self._log_tasks) >= MOST_LOG_TIMERS:
                    self.counters["log timers lost"] += 1
                    continue
                self._exchanges[exchange.worker] += 1
                task = asyncio.get_running_loop().create_task(self._run_log(plugin, exchange))
                self._log_tasks.add(task)
                task.add_done_callback(self._log_tasks.discard)

    async def _run_log(self, plugin: Plugin, exchange: Exchange) -> None:
        server = self._running[exchange.worker][plugin.name]
        try:
            await server.run_phase(plugin, self.plugins.configs[plugin.id], "log", exchange)
        except (InstanceNotStarted, PdkRefusal, KongExit) as error:
            self.counters[f"log aborted: {type(error).__name__}"] += 1
        finally:
            self._exchanges[exchange.worker] -= 1
            await self._close_if_over(exchange.worker)


def _request(*parts: Any, loop: asyncio.AbstractEventLoop | None = None) -> web.BaseRequest:
    message, payload, protocol, writer, task = parts
    running = loop or asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, running, client_max_size=LARGEST_BODY)


def _filtered(filters: list[LuaFunctions], exchange: Exchange, chunk: bytes, *, last: bool = False) -> bytes:
    for function in filters:
        chunk = function.run("body_filter", exchange, chunk, last=last)
    return chunk


def _append(path: Any, line: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode("utf-8", "surrogateescape") + b"\n")
    finally:
        os.close(descriptor)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body
