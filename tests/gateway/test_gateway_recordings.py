"""The tests' gateway against what was recorded from Kong 3.9.1: frames byte for byte, logs key for key."""

import ast
import asyncio
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pytest
from aiohttp import web

from tests.gateway.configuration import configuration_of, entity_id
from tests.gateway.exchange import Exchange, KongExit
from tests.gateway.pdk import METHODS, PdkRefusal, call_pdk
from tests.gateway.plugin_rpc import PluginServer
from tests.gateway.plugins import ExternalPlugin, PluginSet
from tests.gateway.routing import Router
from tests.gateway.running import running_gateway, running_upstream

RECORDINGS = Path(__file__).parent.parent / "recordings/kong"

TWO = {  # the configuration that the transcript was recorded with
    "_format_version": "3.0",
    "services": [{
        "name": "echo", "host": "127.0.0.1", "port": 18080,
        "routes": [{"name": "two", "paths": ["/two"], "plugins": [
            {"name": "two", "id": "9d418444-cf03-59e6-a72a-294373627989", "config": {"message": "m1"}}]}],
    }],
    "consumers": [{
        "username": "alice", "custom_id": "alice-42", "tags": ["team-a"],
        "keyauth_credentials": [{"key": "alice-key", "id": "053c796e-8366-44b7-851f-210acb01899d"}],
    }],
}  # fmt: skip


@dataclass
class Frame:
    sender: str
    size: int
    message: list[Any]
    bytes: bytes | None  # None: the recording cut it short


def recorded_frames() -> list[Frame]:
    lines = (RECORDINGS / "rpc-transcript.txt").read_text().splitlines()
    frames = []
    for line, decoded in itertools.pairwise(lines):
        if found := re.search(r"conn1 (K>P|P>K) (\d+) bytes hex=([0-9a-f]+)(\.\.\.)?$", line):
            raw = None if found[4] else bytes.fromhex(found[3])
            message = ast.literal_eval(re.split(r"conn1 (?:K>P|P>K)   ", decoded)[1])
            frames.append(Frame(found[1], int(found[2]), message, raw))
    return frames


FRAMES = recorded_frames()


def test_the_transcript_was_read_whole() -> None:
    assert len(FRAMES) == 32
    assert sum(frame.bytes is None for frame in FRAMES) == 3  # the serialize answers


async def replay(path: Path, sent: list[bytes]) -> list[bytes]:
    """Serve the plugin's recorded replies, in order, and note each frame that the gateway sends."""
    closed = asyncio.Event()
    replies = iter([frame for frame in FRAMES if frame.sender == "P>K"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while frame := await _whole_message(reader):
            sent.append(frame)
            reply = next(replies)
            assert reply.bytes
            writer.write(reply.bytes)
        writer.close()
        await writer.wait_closed()
        closed.set()

    server = await asyncio.start_unix_server(serve, str(path))
    configuration = configuration_of(TWO, now=lambda: 1795331824)
    plugins = PluginSet(configuration, {"two": ExternalPlugin("two", str(path))}, seq=4)
    plugin = configuration.plugins[0]
    rpc = PluginServer("two", str(path))
    for _ in range(3):
        for phase in ("access", "log"):
            await rpc.run_phase(plugin, plugins.configs[plugin.id], phase, _two_exchange(configuration))
    await rpc.close()
    await closed.wait()
    server.close()
    return sent


async def _whole_message(reader: asyncio.StreamReader) -> bytes:
    frame = b""
    while received := await reader.read(65536):
        frame += received
        unpacker = msgpack.Unpacker()
        unpacker.feed(frame)
        try:
            unpacker.skip()
        except msgpack.OutOfData:
            continue
        return frame
    return b""


def _two_exchange(configuration: Any) -> Exchange:
    headers = [("host", "127.0.0.1:8000"), ("user-agent", "curl/7.88.1"), ("accept", "*/*"), ("x-team", "red"),
               ("apikey", "alice-key"), ("x-seen", "1"), ("x-consumer-id", "b32379d9-3d28-5683-a79c-72139be6e34f"),
               ("x-consumer-custom-id", "alice-42"), ("x-consumer-username", "alice"),
               ("x-credential-identifier", "053c796e-8366-44b7-851f-210acb01899d")]  # fmt: skip
    exchange = Exchange("73124d6f", "GET", "/two/headers", headers, b"", 121, "127.0.0.1", 1, 8000)
    exchange.match = Router(configuration).find_match("GET", "127.0.0.1:8000", "/two/headers")
    exchange.consumer = next(iter(configuration.consumers.values()))
    exchange.credential = configuration.credentials["alice-key"]
    exchange.status, exchange.upstream_status, exchange.source = 200, "200", "upstream"
    exchange.upstream_uri = "/headers"
    return exchange


def test_the_gateway_sends_the_recorded_frames_byte_for_byte(tmp_path: Path) -> None:
    """Three requests with access (two PDK calls) and log (one); only the logged JSON is compared by its content."""
    sent = asyncio.run(replay(tmp_path / "two.sock", []))
    recorded = [frame for frame in FRAMES if frame.sender == "K>P"]
    assert len(sent) == len(recorded)
    for ours, kongs in zip(sent, recorded, strict=True):
        if kongs.bytes is not None:
            assert ours == kongs.bytes
            continue
        message = msgpack.unpackb(ours)
        assert message[:3] == kongs.message[:3]
        assert list(message[3][0]) == list(kongs.message[3][0]) == ["Data", "EventId"]
        assert ours[: ours.index(b"{")].startswith(b"\x94\x00")
        assert b"\xa4Data\xda" in ours[:40], "a string of up to 64 KiB has a 16-bit length"
        same_shape(json.loads(message[3][0]["Data"]), json.loads(kongs.message[3][0]["Data"]))


VOLATILE = {"tries", "latencies", "started_at", "size", "headers", "created_at", "updated_at", "id", "ip", "port"}


def same_shape(ours: Any, kongs: Any, place: str = "") -> None:
    """Same keys, same types, same values where they do not depend on the run."""
    if isinstance(kongs, dict):
        assert isinstance(ours, dict), place
        if not place.endswith(".headers"):
            assert sorted(ours) == sorted(kongs), place
        for key in kongs:
            if key in ours:
                same_shape(ours[key], kongs[key], f"{place}.{key}")
    elif isinstance(kongs, list):
        assert isinstance(ours, list), place
        for one, other in zip(ours, kongs, strict=False):
            same_shape(one, other, f"{place}[]")
    else:
        assert type(ours) is type(kongs), f"{place}: {ours!r} is not like {kongs!r}"
        if not VOLATILE & set(re.split(r"[.\[\]]+", place)):
            assert ours == kongs, place


def test_ids_are_derived_as_kong_derives_them() -> None:
    assert entity_id("routes", "keyed") == "527283d5-6f12-5649-9be1-eb409c3b275f"
    assert entity_id("services", "echo") == "adbd70b3-4224-5183-a52a-179d7b34ab5b"
    assert entity_id("consumers", "alice") == "b32379d9-3d28-5683-a79c-72139be6e34f"


KEYED = """
_format_version: "3.0"
services:
  - {name: echo, host: 127.0.0.1, port: 18080, routes: [{name: keyed, paths: [/keyed]}]}
consumers:
  - {username: alice, custom_id: alice-42, tags: [team-a], keyauth_credentials: [{key: alice-key}]}
plugins:
  - {name: key-auth, config: {key_names: [apikey]}}
  - {name: file-log, config: {path: /nowhere}}
"""


def logged(tmp_path: Path, request: bytes) -> dict[str, Any]:
    """Send a request as curl did through the gateway; returns what file-log wrote."""

    async def headers(_: web.Request) -> web.Response:
        return web.Response(text="headers", content_type="text/plain", headers={"Server": "kong/3.9.1"})

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/headers", headers)
        async with (
            running_upstream(app) as upstream,
            running_gateway(KEYED, upstream=upstream, file_log=tmp_path / "log.json") as (_, port),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())
    found: dict[str, Any] = json.loads((tmp_path / "log.json").read_text())
    found["request"]["url"] = re.sub(r":\d+/", ":8000/", found["request"]["url"])  # Kong's port was 8000
    return found


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDINGS / f"kong-serialize-{name}.json").read_text())
    return found


def test_a_refused_request_is_logged_as_recorded_to_the_byte_count(tmp_path: Path) -> None:
    request = b"GET /keyed/headers HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"
    ours, kongs = logged(tmp_path, request), sample("401")
    same_shape(ours, kongs)
    assert sorted(ours["response"]["headers"]) == sorted(kongs["response"]["headers"])
    assert (ours["request"]["size"], ours["response"]["size"]) == (91, 377)
    for name in ("www-authenticate", "server", "content-length", "connection", "content-type"):
        assert ours["response"]["headers"][name] == kongs["response"]["headers"][name]
    assert ours["latencies"]["proxy"] == -1
    assert ours["tries"] == []


def test_an_authenticated_request_is_logged_as_recorded(tmp_path: Path) -> None:
    request = (
        b"GET /keyed/headers?x=1&y=2 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
        b"apikey: alice-key\r\nAuthorization: Bearer xyz\r\nCookie: a=b\r\n\r\n"
    )
    ours, kongs = logged(tmp_path, request), sample("keyauth")
    same_shape(ours, kongs)
    assert sorted(ours["request"]["headers"]) == sorted(kongs["request"]["headers"])
    assert ours["request"]["headers"]["authorization"] == "REDACTED"
    assert ours["request"]["querystring"] == {"x": "1", "y": "2"}
    assert ours["upstream_uri"] == "/headers?x=1&y=2"


def matrix() -> list[tuple[str, str, str, str]]:
    """Read (method, phase, status, rest of the line) of the recorded matrix."""
    found, method = [], ""
    for line in (RECORDINGS / "pdk-phase-matrix.txt").read_text().splitlines():
        if line.startswith("kong."):
            method = line.partition("(")[0]
        elif cells := re.match(r"\s+(access|log)\s+(\d+) (.*)", line):
            found.append((method, cells[1], cells[2], cells[3]))
    return found


ARGUMENTS: dict[str, list[Any]] = {
    "kong.request.get_header": ["host"], "kong.request.get_query_arg": ["q"], "kong.response.get_header": ["via"],
    "kong.response.set_header": ["x-b", "1"], "kong.response.add_header": ["x-b", "1"],
    "kong.response.set_headers": [{"x-c": "1"}], "kong.response.clear_header": ["via"],
    "kong.response.exit": [418, "m"],
    "kong.response.error": [418, "m"],
    "kong.ctx.shared.get": ["a"], "kong.ctx.shared.set": ["a", "b"],
    "kong.nginx.get_ctx": ["x"], "kong.nginx.set_ctx": ["x", "y"], "kong.nginx.get_var": ["request_id"],
    "kong.log.set_serialize_value": ["meter", {"a": 1}], "kong.service.request.set_header": ["x-b", "1"],
    "kong.service.request.add_header": ["x-b", "1"], "kong.service.request.set_headers": [{"x-c": "1"}],
    "kong.service.request.clear_header": ["x-b"], "kong.response.set_status": [202],
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "phase", "status", "rest"),
    [case for case in matrix() if case[0] in METHODS],
    ids=lambda value: str(value)[:40],
)
def test_a_pdk_method_works_in_the_phases_where_it_was_seen_to(method: str, phase: str, status: str, rest: str) -> None:
    exchange = _two_exchange(configuration_of(TWO))
    exchange.answer_headers = [("via", "1.1 kong/3.9.1")]
    assert outcome(exchange, phase, method) == ("refused" if "!!" in rest else status)


def outcome(exchange: Exchange, phase: str, method: str) -> str:
    """Call a method; returns what the client would see, or that Kong refuses."""
    try:
        call_pdk(exchange, phase, method, ARGUMENTS.get(method, []))
    except PdkRefusal:
        return "refused"
    except KongExit as made:
        return str(made.status)
    return "200"


@pytest.mark.parametrize(
    "method", [method for method, phase, _, rest in matrix() if "could not find" in rest and phase == "log"]
)
def test_a_method_that_kong_does_not_find_returns_nothing(method: str) -> None:
    assert call_pdk(_two_exchange(configuration_of(TWO)), "log", method, []) is None


def test_every_method_that_the_gateway_offers_was_recorded_or_is_a_log_level() -> None:
    recorded = {method for method, *_ in matrix()}
    assert {name for name in METHODS if name not in recorded} == {
        f"kong.log.{level}" for level in ("debug", "info", "notice", "warn", "err", "crit")
    }
