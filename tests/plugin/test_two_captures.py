"""The plugin's log phase and Kong's file-log capture the same requests as the same records."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gateway.__main__ import build_gateway
from tests.gateway.running import eventually, get, running_upstream
from tests.gateway.upstreams import build_app
from tests.waiting import PATIENCE_SECONDS
from tollkeeper_kong.exchange import exchange_from_serialize
from tollkeeper_kong.record import usage_record
from tollkeeper_kong.segment_reader import SegmentReader
from tollkeeper_kong.segments import list_segments

ROOT = Path(__file__).parent.parent.parent
SERVICES = ("flights", "bookings", "destinations", "customer-service")
CHAT = {"model": "gpt-4o", "stream_options": {"include_usage": True}, "messages": [{"role": "user", "content": "hi"}]}


@contextlib.asynccontextmanager
async def plugin_server(folder: Path) -> AsyncIterator[Path]:
    socket = folder / "t.sock"
    server = subprocess.Popen(
        [sys.executable, "-m", "tollkeeper_kong", "serve", "--socket", str(socket),
         "--spool-dir", str(folder / "spool"), "--node", "node-7", "--no-shipper", "--sidecar",
         "--metrics", "off", "--backend-url", "http://127.0.0.1:1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await eventually(socket.exists)
        yield socket
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE_SECONDS)


async def traffic(port: int) -> None:
    """What a day brings: answers, no key, hostile headers, a chat, streams whole and cut, a path to nowhere."""
    key = "demo-nimbus-app"
    await get(port, "/flights?secret=1", apikey=key, cookie="session=1")
    await get(port, "/flights/KA1", apikey=key, x_hostile="caf\udce9 \udcff")
    await get(port, "/flights")
    await get(port, "/nowhere", apikey=key)
    url = f"http://127.0.0.1:{port}/chat"
    async with aiohttp.ClientSession(headers={"apikey": key}) as session:
        for asked in (CHAT, CHAT | {"stream": True}, CHAT | {"model": "unknown"}):
            async with session.post(url, json=asked) as answer:
                await answer.read()
        async with session.post(url, json=CHAT | {"stream": True}) as answer:
            await answer.content.readany()
            answer.close()


def spooled(folder: Path) -> list[dict[str, Any]]:
    found = []
    for segment in list_segments(folder):
        with SegmentReader(segment) as reader:
            found += [json.loads(record) for record in reader.read(1000, 10**7)]
    return found


def without_latency(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"data": {name: value for name, value in record["data"].items() if name != "latency_ms"}}


def test_both_captures_make_the_same_record_of_every_kind_of_request(tmp_path: Path) -> None:
    log = tmp_path / "records.json"

    async def main() -> None:
        async with plugin_server(tmp_path) as socket, running_upstream(build_app(chunk_pause=0.005)) as upstream:
            gateway = build_gateway(
                config=ROOT / "kong.yml", plugin_socket=str(socket), file_log=log,
                upstreams=[f"{name}=127.0.0.1:{upstream}" for name in SERVICES],
            )  # fmt: skip
            port = await gateway.start("127.0.0.1", 0)
            await traffic(port)
            await eventually(lambda: gateway.counters["requests"] == 8)
            await gateway.stop()

    asyncio.run(main())
    followed = [
        json.loads(usage_record(exchange_from_serialize(line), node="node-7")) for line in log.read_bytes().splitlines()
    ]
    by_id = {record["id"]: without_latency(record) for record in followed}
    assert len(by_id) == 8
    assert {record["id"]: without_latency(record) for record in spooled(tmp_path / "spool")} == by_id
    assert sorted(record["data"]["status"] for record in followed) == [200, 200, 200, 401, 404, 404, 404, 499]
    llm = [record["data"]["llm"] for record in followed if "llm" in record["data"]]
    assert [(one["stream"], one["estimated"]) for one in llm] == [(False, False), (True, False), (True, True)]


OF_A_SUBJECT = """
_format_version: "3.0"
services: [{name: flights, url: "http://127.0.0.1:1", routes: [{name: flights, paths: [/flights], strip_path: false}]}]
consumers: [{username: alice, keyauth_credentials: [{key: alice-key}]}]
plugins:
  - {name: key-auth, config: {key_names: [apikey]}}
  - {name: tollkeeper, config: {enforce: "%s", subject_from: "%s"}}
  - {name: file-log, config: {path: /dev/null}}
"""


async def one_request(folder: Path, settings: tuple[str, str], headers: dict[str, str]) -> None:
    config = folder / "kong.yml"
    config.write_text(OF_A_SUBJECT % settings)
    async with plugin_server(folder) as socket, running_upstream(build_app()) as upstream:
        gateway = build_gateway(
            config=config, plugin_socket=str(socket), file_log=folder / "records.json",
            upstreams=[f"flights=127.0.0.1:{upstream}"],
        )  # fmt: skip
        port = await gateway.start("127.0.0.1", 0)
        await get(port, "/flights", **headers)
        await gateway.stop()


def both(folder: Path) -> list[dict[str, Any]]:
    """Return what the follower and the plugin make of the one request."""
    (line,) = (folder / "records.json").read_bytes().splitlines()
    (sent,) = spooled(folder / "spool")
    return [json.loads(usage_record(exchange_from_serialize(line), node="node-7")), sent]


@pytest.mark.parametrize("enforce", ["on", "off"])
def test_a_client_cannot_hide_its_subject_behind_a_hundred_headers(tmp_path: Path, enforce: str) -> None:
    """The team's header stands behind them, as where a proxy adds it; Kong saves a hundred for its log phase."""
    headers = {f"x_junk_{number}": "y" for number in range(120)} | {"x_team": "red", "apikey": "alice-key"}
    asyncio.run(one_request(tmp_path, (enforce, "header:x-team"), headers))
    followed, sent = both(tmp_path)
    assert followed["subject"] == sent["subject"] == "header:x-team:red"
    assert without_latency(followed) == without_latency(sent)


@pytest.mark.parametrize("key", ["alice-key", "wrong"])
def test_file_log_knows_the_credential_that_a_request_is_attributed_to(tmp_path: Path, key: str) -> None:
    asyncio.run(one_request(tmp_path, ("on", "credential"), {"apikey": key}))
    followed, sent = both(tmp_path)
    data = sent["data"]
    assert sent["subject"] == (f"credential:{data['credential']}" if key == "alice-key" else "anonymous")
    assert data["status"] == (200 if key == "alice-key" else 401)
    assert without_latency(followed) == without_latency(sent)
