"""`tollkeeper serve`, `clock` and `jobs` as an operator runs them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result

from tests.waiting import PATIENCE_SECONDS
from tollkeeper.cli import main

TOLLKEEPER = Path(sys.executable).parent / "tollkeeper"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path}/tollkeeper.db",
        "TOLLKEEPER_DATA_DIR": str(tmp_path),
        "TOLLKEEPER_PORT": "0",
        "TOLLKEEPER_TEST_CLOCK": "1",
    }


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with subprocess.Popen([TOLLKEEPER, "serve"], env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            for line in server.stdout:
                found = re.search(r"listens on (http://[^ ]+)/ ", line)
                if found:
                    yield found[1], server
                    return
            raise AssertionError("the server ended before it listened")
        finally:
            server.kill()


def run(environment: dict[str, str], *words: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return CliRunner().invoke(main, words)


@pytest.mark.slow
def test_serve_answers_advances_the_clock_and_ends_cleanly(environment: dict[str, str]) -> None:
    refused = run(environment, "clock", "advance", "--to", "2099-01-01T00:00:00Z")
    assert (refused.exit_code, "the test clock is closed" in refused.stderr) == (1, True)
    token = run(environment, "keys", "create", "test", "--scope", "admin").stdout.strip()
    with serving(environment) as (url, server):
        http = requests.Session()
        http.headers["Authorization"] = f"Bearer {token}"
        assert http.get(f"{url}/healthz", timeout=PATIENCE_SECONDS).ok
        feed = http.get(f"{url}/api/v1/gateway/verdicts", timeout=PATIENCE_SECONDS).json()
        assert feed["full"]
        to = (datetime.now(UTC) + timedelta(days=40)).isoformat()
        advanced = http.post(f"{url}/api/v1/test-clock/advance", json={"to": to}, timeout=PATIENCE_SECONDS)
        assert advanced.status_code == 200, advanced.text
        assert advanced.json()["now"] >= to[:19]
        back = http.post(
            f"{url}/api/v1/test-clock/advance", json={"to": datetime.now(UTC).isoformat()}, timeout=PATIENCE_SECONDS
        )
        assert (back.status_code, back.json()["errors"][0]["path"]) == (422, "/to")
        further = run(environment, "clock", "advance", "--to", "2099-01-01T00:00:00Z")
        assert further.stdout.startswith("It is 2099-01-01T00:00:0"), further.stderr
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_SECONDS) == 0
    without = run({**environment, "TOLLKEEPER_TEST_CLOCK": "0"}, "jobs", "run", "--once")
    assert (without.exit_code, "was advanced" in without.stderr) == (1, True)


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(environment: dict[str, str]) -> None:
    with serving(environment) as (url, _):
        port = url.rpartition(":")[2]
        second = run({**environment, "TOLLKEEPER_PORT": port}, "serve")
    assert second.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in second.stderr


def test_several_workers_need_postgresql(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**environment, "TOLLKEEPER_WORKERS": "2"}.items():
        monkeypatch.setenv(name, value)
    answer = CliRunner().invoke(main, ["serve"])
    assert (answer.exit_code, "TOLLKEEPER_WORKERS: must be 1 with SQLite" in answer.output) == (1, True)


def test_the_timetable_is_shown_and_run_once(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**environment, "TOLLKEEPER_TEST_CLOCK": "0"}.items():
        monkeypatch.setenv(name, value)
    shown = CliRunner().invoke(main, ["jobs", "list"]).output
    assert "refresh_verdicts" in shown
    ran = CliRunner().invoke(main, ["jobs", "run", "--once", "refresh_verdicts", "notify"])
    assert (ran.exit_code, ran.output) == (0, "refresh_verdicts: 0\nnotify: 0\n")


def test_an_instant_without_a_zone_is_refused(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    answer = CliRunner().invoke(main, ["clock", "advance", "--to", "2027-01-01"])
    assert (answer.exit_code, "write it like 2027-01-01T00:00:00Z" in answer.output) == (1, True)


def test_webhooks_are_added_listed_and_disabled(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    runner = CliRunner()
    added = runner.invoke(main, ["webhooks", "add", "https://example.com/hooks", "--kind", "node.silent"])
    assert added.stdout.startswith("whsec_")
    listed = runner.invoke(main, ["webhooks", "list"]).output
    assert "live" in listed
    assert "whsec_" not in listed
    endpoint_id = listed.split()[0]
    assert runner.invoke(main, ["webhooks", "disable", endpoint_id]).exit_code == 0
    assert "disabled" in runner.invoke(main, ["webhooks", "list"]).output
    refused = runner.invoke(main, ["webhooks", "add", "http://example.com/hooks"])
    assert (refused.exit_code, "must be https" in refused.output) == (1, True)
