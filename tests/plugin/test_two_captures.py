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


BY_TEAM = """
_format_version: "3.0"
services: [{name: flights, url: "http://127.0.0.1:1", routes: [{name: flights, paths: [/flights], strip_path: false}]}]
plugins:
  - {name: tollkeeper, config: {enforce: "%s", subject_from: "header:x-team"}}
  - {name: file-log, config: {path: /dev/null}}
"""


@pytest.mark.parametrize("enforce", ["on", "off"])
def test_a_client_cannot_hide_its_subject_behind_a_hundred_headers(tmp_path: Path, enforce: str) -> None:
    """The team's header stands behind them, as where a proxy adds it; Kong saves a hundred for its log phase."""
    log, config = tmp_path / "records.json", tmp_path / "kong.yml"
    config.write_text(BY_TEAM % enforce)

    async def main() -> None:
        async with plugin_server(tmp_path) as socket, running_upstream(build_app()) as upstream:
            gateway = build_gateway(
                config=config, plugin_socket=str(socket), file_log=log, upstreams=[f"flights=127.0.0.1:{upstream}"]
            )
            port = await gateway.start("127.0.0.1", 0)
            await get(port, "/flights", **{f"x_junk_{number}": "y" for number in range(120)}, x_team="red")
            await gateway.stop()

    asyncio.run(main())
    (line,) = log.read_bytes().splitlines()
    followed = json.loads(usage_record(exchange_from_serialize(line), node="node-7"))
    (sent,) = spooled(tmp_path / "spool")
    assert followed["subject"] == sent["subject"] == "header:x-team:red"
    assert without_latency(followed) == without_latency(sent)
