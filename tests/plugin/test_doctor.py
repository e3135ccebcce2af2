"""The doctor finds what is wrong between Kong and the backend, and says what to do."""

import fcntl
import json
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.backend_stub import KEY, BackendStub, backend_stub
from tests.plugin.rpc_client import ROOT, connect
from tollkeeper_kong.backend_client import ApiKey
from tollkeeper_kong.doctor import clock_offset, examine_backend, examine_socket, examine_spool
from tollkeeper_kong.dump import dump
from tollkeeper_kong.finding import Finding
from tollkeeper_kong.registration import examine_registration
from tollkeeper_kong.settings import BackendSettings, SpoolSettings
from tollkeeper_kong.shipper import LOCK_NAME
from tollkeeper_kong.spool import Spool

KONG_ENVIRONMENT = {
    "KONG_PLUGINS": "bundled, tollkeeper",
    "KONG_PLUGINSERVER_NAMES": "tollkeeper",
    "KONG_PLUGINSERVER_TOLLKEEPER_SOCKET": "/run/t.sock",
    "KONG_PLUGINSERVER_TOLLKEEPER_QUERY_CMD": "tollkeeper-kong --dump",
    "KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT": "2s",
}


@pytest.fixture
def backend() -> Iterator[BackendStub]:
    with backend_stub() as stub:
        yield stub


def levels(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.subject) for finding in findings]


def test_a_sound_house_is_found_sound(tmp_path: Path, backend: BackendStub) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o640)
    (tmp_path / "spool").mkdir(mode=0o700)
    common = ["--backend-url", backend.url, "--api-key-file", str(tmp_path / "key")]
    common += ["--spool-dir", str(tmp_path / "spool"), "--socket", str(tmp_path / "t.sock")]
    command = [sys.executable, "-m", "tollkeeper_kong"]
    with subprocess.Popen([*command, "serve", *common, "--metrics", "off"], stderr=subprocess.DEVNULL) as server:
        try:
            connect(tmp_path / "t.sock").socket.close()
            environment = KONG_ENVIRONMENT | {"KONG_PLUGINSERVER_TOLLKEEPER_SOCKET": str(tmp_path / "t.sock")}
            found = subprocess.run(
                [*command, "doctor", *common],
                env=environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert found.returncode == 0, found.stdout + found.stderr
            said = [line.split(":")[0].split() for line in found.stdout.splitlines() if "->" not in line]
            assert said == [
                ["ok", "registration"], ["ok", "server"], ["hint", "server"], ["ok", "spool"], ["ok", "shipper"],
                ["ok", "backend"], ["ok", "clock"],
            ]  # fmt: skip
            quick = subprocess.run(
                [*command, "doctor", "--quick", *common], cwd=ROOT, capture_output=True, timeout=60, check=False
            )
            assert quick.returncode == 0
        finally:
            server.terminate()


def test_the_health_check_fails_without_a_server(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tollkeeper_kong", "doctor", "--quick", "--socket", str(tmp_path / "none.sock")]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False).returncode == 1


def test_a_missing_socket_a_file_in_its_place_and_a_dead_one_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.sock"
    (missing,) = examine_socket(path)
    assert (missing.level, missing.text) == ("failure", f"{path}: No such file or directory")
    path.write_text("")
    (file,) = examine_socket(path)
    assert "no socket" in file.text
    path.unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    path.chmod(0o666)
    opened, silent = examine_socket(path)
    assert (opened.level, "every user (0666)" in opened.text) == ("warning", True)
    assert (silent.level, silent.subject) == ("failure", "server")
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_spool_that_is_not_there_comes_with_the_command_that_makes_it(tmp_path: Path) -> None:
    (found,) = examine_spool(SpoolSettings(tmp_path / "spool", 1 << 30, "group"))
    assert found.level == "failure"
    assert f"install -d -m 0700 -o USER {tmp_path / 'spool'}" in found.advice


def test_records_that_the_backend_refused_and_a_full_disk_are_told(tmp_path: Path) -> None:
    counters = {"shipped": 5, "duplicates": 0, "set_aside": 2, "set_aside_forgotten": 0, "lost_to_damage": 0,
                "batches": 1, "errors": 0, "last_error": None}  # fmt: skip
    (tmp_path / "shipper.json").write_text(json.dumps(counters))
    found = list(examine_spool(SpoolSettings(tmp_path, 1 << 60, "group")))
    assert ("warning", "spool") in levels(iter(found))
    (refused,) = [finding for finding in found if "refused 2 records" in finding.text]
    assert str(tmp_path / "rejected") in refused.advice


def test_losses_and_a_shipper_that_fails_are_told_before_anything_is_old(tmp_path: Path) -> None:
    counters = {"set_aside_forgotten": 3, "lost_to_damage": 4, "last_error": "KeyRefused: 403"}
    (tmp_path / "shipper.json").write_text(json.dumps(counters))
    found = [finding.text for finding in examine_spool(SpoolSettings(tmp_path, 1, "group")) if finding.level != "ok"]
    assert any("KeyRefused: 403" in text for text in found)
    assert "4 records were lost to damage" in found
    assert "3 refused records were deleted to make room" in found


def test_a_socket_path_that_the_system_would_not_take_is_told_before_it_is_tried(tmp_path: Path) -> None:
    """The server binds `.t.sock.<pid>` in the folder: 16 bytes behind 90, of the 107 that the system takes."""
    folder = Path("/" + "f" * 89)
    (fits,) = examine_socket(folder / "t.sock")
    assert fits.text.endswith("No such file or directory")
    (too_long,) = examine_socket(Path("/" + "f" * 92) / "t.sock")
    assert (too_long.level, "shorter path" in too_long.advice) == ("failure", True)


def test_a_spool_and_a_key_that_others_can_read_are_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    found = list(examine_spool(SpoolSettings(tmp_path, 1, "group")))
    assert [finding.advice.split(":")[0] for finding in found if finding.level == "warning"] == [
        f"chmod 0700 {tmp_path}"
    ]
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o644)
    first, *_ = examine_backend(BackendSettings("http://127.0.0.1:1", ApiKey(path=key), "node-7"))
    assert (first.level, first.subject, first.advice.split(":")[0]) == ("warning", "key", f"chmod 0600 {key}")


def test_records_that_wait_for_a_shipper_that_nobody_runs_are_told_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    spool = Spool(tmp_path)
    spool.append(b"{}")
    spool.close()
    settings = SpoolSettings(tmp_path, 1, "group")
    assert ("failure", "shipper") in levels(examine_spool(settings))
    with (tmp_path / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ("ok", "shipper") in levels(examine_spool(settings))


def test_a_description_of_another_version_is_told_where_kong_reads_a_file(tmp_path: Path) -> None:
    described = tmp_path / "info.json"
    environment = KONG_ENVIRONMENT | {"KONG_PLUGINSERVER_TOLLKEEPER_QUERY_CMD": f"cat {described}"}

    def found() -> list[str]:
        return [one.text for one in examine_registration(None, environment, Path("/run/t.sock")) if one.level != "ok"]

    assert found() == [f"{described} cannot be read here (FileNotFoundError): without it Kong does not start"]
    described.write_text(dump())
    assert found() == []
    described.write_text(dump().replace('"quota_headers"', '"quota_header"'))
    assert found() == [f"{described} describes another version of the plugin"]


def test_a_query_command_that_no_shell_takes_is_told() -> None:
    environment = KONG_ENVIRONMENT | {"KONG_PLUGINSERVER_TOLLKEEPER_QUERY_CMD": "cat '/run/info.json"}
    found = list(examine_registration(None, environment, Path("/run/t.sock")))
    assert [(one.level, one.text) for one in found if one.level != "ok"] == [
        ("failure", "KONG_PLUGINSERVER_TOLLKEEPER_QUERY_CMD is no command: No closing quotation")
    ]


def test_a_server_that_kong_starts_comes_with_a_better_way(tmp_path: Path) -> None:
    environment = KONG_ENVIRONMENT | {"KONG_PLUGINSERVER_TOLLKEEPER_START_CMD": "tollkeeper-kong serve"}
    assert levels(examine_registration(None, environment, Path("/run/t.sock"))) == [
        ("ok", "registration"),
        ("hint", "registration"),
    ]


def test_a_refused_key_a_stranger_and_an_absent_backend_get_advice_of_their_own(backend: BackendStub) -> None:
    (refused,) = examine_backend(BackendSettings(backend.url, ApiKey(value="tk_wrong"), "node-7"))
    assert "keys create" in refused.advice
    (absent,) = examine_backend(BackendSettings("http://127.0.0.1:1", ApiKey(value=KEY), "node-7"))
    assert "reachable" in absent.advice
    with http_server(404, {}) as url:
        (stranger,) = examine_backend(BackendSettings(url, ApiKey(value=KEY), "node-7"))
        assert "not Tollkeeper" in stranger.advice


def test_the_clock_is_compared_with_the_backend_s() -> None:
    assert clock_offset(formatdate(1000.0, usegmt=True), 900.0) == 100.5
    assert clock_offset(None, 900.0) is None
    assert clock_offset("yesterday", 900.0) is None


def test_what_is_missing_in_kong_s_environment_is_named() -> None:
    path = Path("/run/t.sock")
    assert levels(examine_registration(None, KONG_ENVIRONMENT, path)) == [("ok", "registration")]
    for name in KONG_ENVIRONMENT:
        without = {key: value for key, value in KONG_ENVIRONMENT.items() if key != name}
        found = [finding for finding in examine_registration(None, without, path) if finding.level != "ok"]
        assert [name in finding.advice for finding in found] == [True]
    assert levels(examine_registration(None, {}, path)) == [("hint", "registration")]


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        ({"plugins": {"available_on_server": {}}, "data": []}, "failure", "does not know"),
        ({"plugins": {"available_on_server": {"tollkeeper": True}}, "data": []}, "warning", "uses it nowhere"),
        ({"plugins": {"available_on_server": {"tollkeeper": {}}}, "data": [{"name": "tollkeeper"}]}, "ok", "1 config"),
        (
            {
                "plugins": {"available_on_server": {"tollkeeper": {}}},
                "data": [],
                "fields": [
                    {"protocols": {}},
                    {"config": {"type": "record", "fields": [{"enforce": {}}, {"colour": {}}]}},
                ],
            },
            "warning",
            "another version of the plugin: buffer_response, colour, deny_unmapped",
        ),
        ({}, "failure", "KeyError"),
    ],
)
def test_kong_s_admin_api_says_whether_the_plugin_is_known_and_used(answer: Any, level: str, text: str) -> None:
    with http_server(200, answer) as url:
        found, *_ = examine_registration(url, {}, Path("/run/t.sock"))
        assert found.level == level
        assert text in found.text


@contextmanager
def http_server(status: int, answer: Any) -> Iterator[str]:
    """Answer every GET alike."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
