"""The whole plugin server in its process, between the tests' gateway and a stand-in for the backend."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.plugin.backend_stub import KEY, BackendStub, backend_stub
from tests.plugin.rpc_client import ROOT, connect
from tests.waiting import PATIENCE_SECONDS, wait_until
from tollkeeper_kong.frames import MARK
from tollkeeper_kong.segments import list_segments

KONG_YML = """
_format_version: "3.0"
services:
  - name: echo
    url: http://127.0.0.1:1
    routes:
      - {name: open, paths: [/open]}
      - {name: keyed, paths: [/keyed], plugins: [{name: key-auth, config: {key_names: [apikey]}}]}
consumers:
  - {username: alice, custom_id: alice-42, keyauth_credentials: [{key: alice-key}]}
plugins: [{name: tollkeeper, config: {enforce: "on"}}]
"""


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


class House:
    """A gateway, a plugin server and a backend, and how to restart the second."""

    def __init__(self, folder: Path, backend: BackendStub, stack: ExitStack) -> None:
        self.folder = folder
        self.backend = backend
        self.stack = stack
        self.socket_path = folder / "tollkeeper.sock"
        self.key_file = folder / "key"
        self.key_file.write_text(KEY + "\n")
        self.plugin = self.start_plugin()
        self.gateway, self.gateway_url = self._start_gateway()

    def command(self, *more: str) -> list[str]:
        return [
            *(sys.executable, "-m", "tollkeeper_kong", *more, "--backend-url", self.backend.url, "--node", "node-7"),
            *("--api-key-file", str(self.key_file), "--spool-dir", str(self.folder / "spool")),
        ]

    def start_plugin(self, *more: str) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context((self.folder / "plugin.log").open("ab"))
        process = subprocess.Popen(
            self.command("serve", "--sidecar", "--socket", str(self.socket_path), "--metrics", "off", *more), stderr=log
        )
        self.stack.callback(end, process)
        connect(self.socket_path).socket.close()
        return process

    def _start_gateway(self) -> tuple[subprocess.Popen[bytes], str]:
        upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        upstream.daemon_threads = True
        threading.Thread(target=upstream.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.stack.callback(upstream.server_close)
        self.stack.callback(upstream.shutdown)
        (self.folder / "kong.yml").write_text(KONG_YML)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.gateway", "--listen", "127.0.0.1:0"),
                *("--config", str(self.folder / "kong.yml"), "--plugin-socket", str(self.socket_path)),
                *("--upstream", f"echo=127.0.0.1:{upstream.server_port}", "--workers", "2"),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        self.stack.callback(end, process)
        assert process.stdout is not None
        self.stack.callback(process.stdout.close)
        found = re.search(r"http://[0-9.:]+", process.stdout.readline().decode())
        assert found
        return process, found[0]

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.gateway_url + path, headers=headers, timeout=PATIENCE_SECONDS)

    def end_gateway(self) -> None:
        """End the gateway with its last log phase, which comes after the answer to the client."""
        self.gateway.terminate()
        self.gateway.wait(PATIENCE_SECONDS)

    def written(self) -> int:
        """Return how many records are in segments, shipped or not."""
        return sum(segment.path.read_bytes().count(MARK) for segment in list_segments(self.folder / "spool"))

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.plugin.pid}/task/{self.plugin.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "plugin.log").read_text().splitlines()]


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack.enter_context(backend_stub()), stack)


def consumer_of(house: House) -> str:
    """Make one request as alice and return her consumer's id from its record."""
    house.get("/keyed", apikey="alice-key")
    assert wait_until(lambda: house.backend.records)
    return str(house.backend.records[0]["data"]["consumer"]["id"])


def deny(subject: str) -> dict[str, Any]:
    return {
        "subject": subject, "customer": "acme",
        "limits": [{
            "id": "lim_1", "feature": "requests", "kind": "requests", "state": "deny", "reason": "10 of 10 used",
            "limit": "10", "used": "10", "resets_at": "2026-12-01T00:00:00.000Z", "hard": True, "status": 429,
            "code": "quota_exhausted",
        }],
    }  # fmt: skip


def test_every_request_becomes_one_record_at_the_backend(house: House) -> None:
    statuses = [house.get("/keyed", apikey="alice-key").status_code for _ in range(20)]
    statuses += [house.get("/open").status_code, house.get("/keyed").status_code, house.get("/nowhere").status_code]
    assert statuses == [200] * 21 + [401, 404]
    assert wait_until(lambda: len(house.backend.records) == 23)
    records = house.backend.records
    assert sorted(record["data"]["status"] for record in records) == [200] * 21 + [401, 404]
    assert {record["source"] for record in records} == {"kong/node-7"}
    assert sum(record["subject"] == "anonymous" for record in records) == 3


def test_a_spent_quota_is_refused_with_its_reason_and_recorded_as_refused(house: House) -> None:
    subject = f"consumer:{consumer_of(house)}"
    house.backend.publish(deny(subject))
    assert wait_until(lambda: house.get("/keyed", apikey="alice-key").status_code == 429)
    refused = house.get("/keyed", apikey="alice-key")
    assert refused.json()["code"] == "quota_exhausted"
    assert refused.json()["message"] == "10 of 10 used"
    assert refused.headers["X-Tollkeeper-Refused"] == "quota_exhausted lim_1"
    assert house.get("/open").status_code == 200
    told = {"code": "quota_exhausted", "limit_id": "lim_1"}
    assert wait_until(lambda: sum(r["data"].get("refused") == told for r in house.backend.records) >= 2)


def test_a_killed_plugin_server_loses_no_record_that_it_had_taken(house: House) -> None:
    for _ in range(10):
        house.get("/keyed", apikey="alice-key")
    assert wait_until(lambda: house.written() == 10)
    house.plugin.send_signal(signal.SIGKILL)
    house.plugin.wait()
    house.plugin = house.start_plugin()
    assert [house.get("/keyed", apikey="alice-key").status_code for _ in range(5)] == [200] * 5
    assert wait_until(lambda: len(house.backend.records) >= 15)
    assert len(house.backend.records) == 15


def test_a_kong_reload_under_traffic_fails_no_request_and_loses_no_record(house: House) -> None:
    """New workers begin on the old server; then the new one takes over the path, and their pools hold both."""
    answered: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answered.append(house.get("/open").status_code)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    house.gateway.send_signal(signal.SIGHUP)
    old, inode = house.plugin, house.socket_path.stat().st_ino
    house.plugin = house.start_plugin()
    assert wait_until(lambda: house.socket_path.stat().st_ino != inode)
    before = len(answered)
    assert wait_until(lambda: len(answered) >= before + 200)
    old.send_signal(signal.SIGTERM)
    assert old.wait(PATIENCE_SECONDS) == 0
    stop.set()
    for asker in askers:
        asker.join()
    assert set(answered) == {200}
    assert wait_until(lambda: len(house.backend.records) == len(answered))


def test_a_shipper_that_is_killed_is_started_again(house: House) -> None:
    assert wait_until(lambda: len(house.children()) == 1)
    (first,) = house.children()
    os.kill(first, signal.SIGKILL)
    house.get("/open")
    assert wait_until(lambda: house.backend.records)
    assert house.children() != [first]


def test_sigterm_ends_the_server_and_its_shipper_and_leaves_every_record_on_disk(house: House) -> None:
    consumer_of(house)
    shippers = house.children()
    for _ in range(30):
        house.get("/open")
    house.end_gateway()
    house.plugin.terminate()
    assert house.plugin.wait(PATIENCE_SECONDS) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in shippers)
    assert not house.socket_path.exists()
    subprocess.run(house.command("ship", "--drain"), stderr=subprocess.DEVNULL, timeout=PATIENCE_SECONDS, check=True)
    assert len(house.backend.records) == 31


def test_a_socket_that_cannot_be_published_is_told_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tollkeeper_kong", "serve", "--no-shipper", "--metrics", "off"]
    command += ["--socket", str(tmp_path / "nowhere/t.sock"), "--spool-dir", str(tmp_path / "spool")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    told = [json.loads(line) for line in ended.stderr.splitlines()]
    assert ended.returncode == 1
    assert [line["socket"] for line in told if line["event"] == "socket_not_published"] == [command[-3]]


def test_the_heartbeat_tells_what_the_two_phases_did(house: House) -> None:
    consumer_of(house)
    assert wait_until(lambda: any(beat["counters"]["log"] >= 1 for beat in house.backend.beats))
    beat = house.backend.beats[-1]
    assert (beat["node"], beat["enforce"]) == ("node-7", "on")
    assert beat["counters"]["errors"] == 0


def test_no_secret_is_ever_logged(house: House) -> None:
    house.get("/keyed", apikey="alice-key")
    house.get("/keyed", apikey="wrong-key-of-somebody")
    consumer_of(house)
    house.plugin.terminate()
    house.plugin.wait(PATIENCE_SECONDS)
    text = (house.folder / "plugin.log").read_text()
    assert KEY not in text
    assert "alice-key" not in text
    assert "wrong-key" not in text
    assert {"serving", "ending", "child_started"} <= {line["event"] for line in house.log_lines()}
