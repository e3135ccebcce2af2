"""Requests through the tests' gateway over real sockets: keys, answers, streams, logs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.gateway.running import (
    ROUTES,
    ScriptedServer,
    eventually,
    get,
    plain_script,
    raw_request,
    running_gateway,
    running_upstream,
)
from tests.gateway.upstreams import build_app, tokens_of

ROOT = Path(__file__).parent.parent.parent
FILTER = (ROOT / "kong-plugin/lua/llm_usage.lua").read_text()
CHAT = """
_format_version: "3.0"
services:
  - {name: ai, url: "http://ai/v1/chat/completions", routes: [{name: chat, paths: [/chat], plugins: [%s]}]}
plugins: [{name: file-log, config: {path: /nowhere}}]
""" % json.dumps({"name": "post-function", "config": {"body_filter": [FILTER]}})  # noqa: UP031 - braces are YAML here


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def through(
    text: str, story: Callable[[int], Awaitable[None]], *, app: web.Application | None = None, **options: Any
) -> None:
    async def main() -> None:
        async with running_upstream(app) as upstream, running_gateway(text, upstream=upstream, **options) as (_, port):
            await story(port)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "target", "status", "message"),
    [
        ({}, "/keyed/flights", 401, "No API key found in request"),
        ({"apikey": "wrong"}, "/keyed/flights", 401, "Unauthorized"),
        ({"apikey": "alice-key"}, "/keyed/flights", 200, ""),
        ({}, "/keyed/flights?apikey=alice-key", 200, ""),
        ({}, "/nowhere", 404, "no Route matched with those values"),
        ({}, "/open/flights", 200, ""),
        ({}, "/open/flights/KA1", 404, "no such flight"),
    ],
)
def test_keys_and_routes_are_answered_as_kong_does(
    headers: dict[str, str], target: str, status: int, message: str
) -> None:
    async def story(port: int) -> None:
        found, answer, body = await get(port, target, **headers)
        assert (found, message in body.decode()) == (status, True)
        assert len(answer["x-kong-request-id"]) == 32

    through(ROUTES, story)


def test_the_upstream_learns_who_called_and_not_the_hidden_key() -> None:
    seen: list[web.BaseRequest] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response()

    async def story(port: int) -> None:
        await get(port, "/keyed/x?a=1", apikey="alice-key", x_consumer_username="forged", te="trailers")

    app = web.Application()
    app.router.add_get("/x", note)
    through(ROUTES.replace("[apikey]", "[apikey], hide_credentials: true"), story, app=app)
    headers = seen[0].headers
    assert headers.getall("X-Consumer-Username") == ["alice"]
    assert headers["X-Consumer-Custom-ID"] == "alice-42"
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["Via"] == "1.1 kong/3.9.1"
    assert "apikey" not in headers
    assert "te" not in headers
    assert seen[0].query_string == "a=1"


def test_an_anonymous_consumer_is_let_in_when_the_configuration_names_one() -> None:
    async def story(port: int) -> None:
        assert (await get(port, "/keyed/flights"))[0] == 200

    through(ROUTES.replace("[apikey]", "[apikey], anonymous: alice"), story)


def test_an_upstream_that_is_away_is_tried_six_times_and_answers_502(tmp_path: Path) -> None:
    async def main() -> None:
        text = ROUTES + "plugins: [{name: file-log, config: {path: /nowhere}}]\n"
        async with running_upstream() as upstream:
            pass
        async with running_gateway(text, upstream=upstream, file_log=tmp_path / "log") as (_, port):
            assert (await get(port, "/open/flights"))[0] == 502

    asyncio.run(main())
    (entry,) = lines(tmp_path / "log")
    assert len(entry["tries"]) == 6  # Kong's five retries
    assert entry["source"] == "kong"


def test_chunks_reach_the_client_one_by_one_through_the_filter() -> None:
    """The upstream sends a chunk when the client has seen the last one: a gateway that held back would hang."""

    async def main() -> None:
        seen = asyncio.Event()

        async def one_by_one(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await answer.prepare(request)
            for number in range(5):
                await answer.write(b'data: {"model":"m","choices":[{"delta":{"content":"word%d"}}]}\n\n' % number)
                await seen.wait()
                seen.clear()
            return answer

        app = web.Application()
        app.router.add_post("/v1/chat/completions", one_by_one)
        async with (
            asyncio.timeout(5),
            running_upstream(app) as upstream,
            running_gateway(CHAT.replace("file-log", "key-auth, enabled: false"), upstream=upstream) as (_, port),
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{port}/chat", data=b"{}") as answer,
        ):
            for number in range(5):
                assert b"word%d" % number in await answer.content.readany()
                seen.set()
            assert await answer.content.readany() == b""

    asyncio.run(main())


def test_a_streamed_chat_is_logged_with_its_exact_tokens(tmp_path: Path) -> None:
    asked = {"model": "gpt-4o", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 3,
             "messages": [{"role": "user", "content": "hello"}]}  # fmt: skip

    async def story(port: int) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{port}/chat", json=asked) as answer,
        ):
            assert (await answer.read()).endswith(b"data: [DONE]\n\n")

    through(CHAT, story, app=build_app(chunk_pause=0.01), file_log=tmp_path / "log")
    (entry,) = lines(tmp_path / "log")
    assert entry["tollkeeper"]["llm"] == {
        "model": "gpt-4o-2024-11-20", "input_tokens": tokens_of(asked)["prompt_tokens"], "output_tokens": 3,
        "cached_tokens": 0, "reasoning_tokens": 0, "stream": True, "estimated": False,
    }  # fmt: skip
    assert entry["latencies"]["receive"] >= 20, "three words, 10 ms apart"


def test_a_client_that_goes_away_is_logged_as_499_with_what_was_delivered(tmp_path: Path) -> None:
    asked = {"stream": True, "max_tokens": 60, "messages": [{"role": "user", "content": "hello " * 200}]}

    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps(asked).encode()
        writer.write(b"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"word1 ")
        writer.close()
        await writer.wait_closed()
        await eventually(lambda: lines(tmp_path / "log"))

    through(CHAT, story, app=build_app(chunk_pause=0.02), file_log=tmp_path / "log")
    (entry,) = lines(tmp_path / "log")
    llm = entry["tollkeeper"]["llm"]
    assert entry["response"]["status"] == 499
    assert llm["estimated"] is True
    assert 4 <= llm["output_tokens"] < 60, "two words of two tokens each, or some more that were under way"


def test_an_upstream_that_breaks_off_is_logged_with_what_came(tmp_path: Path) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b'data: {"model":"gpt-4o","choices":[{"delta":{"content":"Hello"}}]}\n\n')
        await asyncio.sleep(0.05)
        assert request.transport
        request.transport.abort()
        return answer

    async def story(port: int) -> None:
        answer = await raw_request(port, b"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert b"Hello" in answer
        assert not answer.endswith(b"0\r\n\r\n"), "the client sees that the answer was cut"

    app = web.Application()
    app.router.add_post("/v1/chat/completions", break_off)
    through(CHAT, story, app=app, file_log=tmp_path / "log")
    (entry,) = lines(tmp_path / "log")
    assert entry["tollkeeper"]["llm"]["estimated"] is True


def test_buffering_holds_the_answer_and_gives_its_body_to_the_log_phase(tmp_path: Path) -> None:
    script = plain_script(
        access=("kong.service.request.enable_buffering", []), log=("kong.service.response.get_raw_body", [])
    )

    async def main() -> None:
        server = ScriptedServer(tmp_path / "p.sock", script)
        await server.start()
        text = ROUTES + "plugins: [{name: toy}]\n"
        async with (
            running_upstream() as upstream,
            running_gateway(text, upstream=upstream, socket=server.path) as (_, port),
        ):
            _, _, body = await get(port, "/open/flights/KA924")
            await eventually(lambda: server.named("plugin.Step")[1:])
        await server.stop()
        assert server.named("plugin.Step")[1]["Data"] == body
        assert any(b"\xa4Data\xc4" in frame for frame in server.frames), "raw bodies travel as binary"

    asyncio.run(main())


def test_values_that_a_plugin_publishes_come_into_the_log(tmp_path: Path) -> None:
    shadow = {"code": "quota_exhausted", "limit_id": "lim_1"}

    async def main() -> None:
        server = ScriptedServer(
            tmp_path / "p.sock",
            plain_script(
                access=("kong.log.set_serialize_value", ["tollkeeper.would_refuse", shadow]),
                log=("kong.log.serialize", []),
            ),
        )
        await server.start()
        text = ROUTES + "plugins: [{name: toy}]\n"
        async with (
            running_upstream() as upstream,
            running_gateway(text, upstream=upstream, socket=server.path) as (_, port),
        ):
            await get(port, "/open/flights", x_hostile="caf\udce9")
            await eventually(lambda: server.named("plugin.Step")[1:])
        await server.stop()
        entry = json.loads(server.named("plugin.Step")[1]["Data"])
        assert entry["tollkeeper"] == {"would_refuse": shadow}
        assert entry["request"]["headers"]["x-hostile"] == "caf\udce9", "bytes that are not UTF-8 go on as they came"

    asyncio.run(main())


@pytest.fixture
def started(tmp_path: Path) -> Any:
    """Start `python -m` something and wait for its first line; everything is stopped at the end."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        found = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": "."},
        )
        running.append(found)
        assert found.stdout
        return found, found.stdout.readline().strip()

    yield start
    for one in running:
        one.terminate()
        one.communicate(timeout=60)


def test_the_command_serves_kong_yml_with_a_stock_plugin_server(started: Any, tmp_path: Path) -> None:
    """All three processes as the demo runs them, here with kong-pdk's own server and a toy plugin."""
    toy = tmp_path / "toy.py"
    toy.write_text(
        "from kong_pdk.cli import start_dedicated_server\n"
        "class Plugin:\n"
        "    def __init__(self, config): self.config = config\n"
        "    def access(self, kong):\n"
        "        consumer = kong.client.get_consumer()[0]\n"
        "        if consumer['username'] == 'hobby-pilot': kong.response.exit(429, '{}', {'x-a': 'b'})\n"
        "    def log(self, kong): open('log', 'a').write(kong.log.serialize()[0] + '\\n')\n"
        "start_dedicated_server('tollkeeper', Plugin, '1', 907, [{'enforce': {'type': 'string', 'default': 'off'}}])\n"
    )
    server = subprocess.Popen([sys.executable, str(toy), "-g", "-p", str(tmp_path), "--socket-name", "p.sock"],
                              cwd=tmp_path, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        _, line = started("-m", "tests.gateway.upstreams", "--listen", "127.0.0.1:0")
        upstream = line.rpartition(" ")[2]
        while not (tmp_path / "p.sock").exists():
            time.sleep(0.05)
        services = ("flights", "bookings", "destinations", "customer-service")
        gateway, line = started(
            "-m", "tests.gateway", "--config", "kong.yml", "--listen", "127.0.0.1:0", "--plugin-socket",
            str(tmp_path / "p.sock"), "--plugin-query", f"{sys.executable} {toy} --dump", "--file-log",
            str(tmp_path / "records.json"),
            *(part for name in services for part in ("--upstream", f"{name}={upstream}")),
        )  # fmt: skip
        port = int(line.rpartition(":")[2])
        assert asyncio.run(get(port, "/flights", apikey="demo-nimbus-app"))[0] == 200
        assert asyncio.run(get(port, "/flights", apikey="demo-hobby-pilot"))[0] == 429
        gateway.send_signal(signal.SIGTERM)
        printed, _ = gateway.communicate(timeout=60)
        assert json.loads(printed)["counters"]["requests"] == 2
    finally:
        server.terminate()
        server.wait(timeout=60)
    assert [entry["response"]["status"] for entry in lines(tmp_path / "log")] == [200, 429]
    assert lines(tmp_path / "records.json") == lines(tmp_path / "log"), "both captures see the same"


def test_the_command_names_what_is_wrong_with_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "kong.yml").write_text('_format_version: "3.0"\nplugins: [{name: ai-proxy}]\n')
    ended = subprocess.run(
        [sys.executable, "-m", "tests.gateway", "--config", str(tmp_path / "kong.yml")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "plugins[0].name: the tests' gateway has no plugin 'ai-proxy'" in ended.stderr


def test_the_chat_counts_the_same_tokens_for_the_same_request() -> None:
    """ "hello" is 5 characters: 2 tokens, and 3 for the message; 5 + 5 // 3 words answer it."""
    usage = tokens_of({"messages": [{"role": "user", "content": "hello"}]})
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (5, 6, 11)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none(status: int) -> None:
    async def empty(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async def story(port: int) -> None:
        found, headers, body = await get(port, "/open/x")
        assert (found, body) == (status, b"")
        assert "transfer-encoding" not in headers

    app = web.Application()
    app.router.add_get("/x", empty)
    through(ROUTES, story, app=app)


def test_head_gets_the_headers_alone_from_the_upstream_and_from_kong() -> None:
    async def story(port: int) -> None:
        for target, status in (("/open/flights", b"200"), ("/nowhere", b"404")):
            request = f"HEAD {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            head, _, body = (await raw_request(port, request.encode())).partition(b"\r\n\r\n")
            assert head.split(b" ")[1] == status
            assert body == b""

    through(ROUTES, story)


def test_a_body_that_waits_for_100_continue_is_asked_for() -> None:
    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /open/bookings HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
        writer.close()
        await writer.wait_closed()

    through(ROUTES, story)


def test_filters_see_kong_s_own_answers_too() -> None:
    code = "ngx.arg[1] = ngx.arg[1] and string.upper(ngx.arg[1])"
    plugin = json.dumps({"name": "post-function", "config": {"body_filter": [code]}})

    async def story(port: int) -> None:
        _, _, body = await get(port, "/nowhere")
        assert b"NO ROUTE MATCHED" in body

    through(ROUTES + f"plugins: [{plugin}]\n", story)
