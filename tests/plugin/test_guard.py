"""The process that Kong starts is a guard: what Kong does to it costs no record."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.plugin.phases import SERIALIZED
from tests.plugin.rpc_client import ROOT, Rpc, connect
from tests.waiting import PATIENCE_SECONDS, wait_until
from tollkeeper_kong.segments import list_segments


@contextmanager
def started_by_kong(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tollkeeper_kong", "serve", "--no-shipper", "--metrics", "off"]
    command += [
        "--socket",
        str(folder / "t.sock"),
        "--spool-dir",
        str(folder / "spool"),
        "--backend-url",
        "http://[::1]:1",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait(PATIENCE_SECONDS)
            assert wait_until(lambda: not (folder / "t.sock").exists()), "the server ends with its guard"


def log_requests(kong: Rpc, count: int) -> None:
    instance = kong.call("StartInstance", {"Name": "tollkeeper", "Config": json.dumps({})})["Id"]
    for _ in range(count):
        kong.step(kong.event(instance, "log")["EventId"], SERIALIZED)


def kept(folder: Path) -> int | None:
    """Return how many records are in the spool; None while somebody writes there."""
    records = [segment.records for segment in list_segments(folder / "spool")]
    return None if None in records else sum(number or 0 for number in records)


def test_kong_s_sigkill_at_a_worker_s_end_costs_no_record(tmp_path: Path) -> None:
    with started_by_kong(tmp_path) as process, connect(tmp_path / "t.sock") as kong:
        log_requests(kong, 50)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
        assert wait_until(lambda: kept(tmp_path) == 50), "the group in memory was written, and the segment closed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_guard_ends_the_server_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with started_by_kong(tmp_path) as process, connect(tmp_path / "t.sock") as kong:
        log_requests(kong, 5)
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert kept(tmp_path) == 5
    assert number.name in (tmp_path / "log").read_text()


def test_the_guard_ends_as_its_server_did(tmp_path: Path) -> None:
    """Kong starts it again when it has ended, and says in its log how."""
    with started_by_kong(tmp_path) as process, connect(tmp_path / "t.sock") as kong:
        server = kong.call("GetStatus")["Pid"]
        assert server != process.pid
        subprocess.run(["kill", "-9", str(server)], check=True)
        assert process.wait(PATIENCE_SECONDS) == 128 + 9
        (tmp_path / "t.sock").unlink()
