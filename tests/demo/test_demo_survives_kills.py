"""The zero-to-hero story with `kill -9` in the middle of its traffic: nothing billed changes."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VICTIMS = ("backend", "plugin-server", "shipper")
KILLS_EACH = 2
REQUESTS = 4000


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what one demo printed for all tests of this file, whichever workers they run in."""
    folder = tmp_path_factory.mktemp("demo")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return _play(folder / "run")
    shared = tmp_path_factory.getbasetemp().parent / "demo.json"  # the folder of the run, above those of its workers
    with shared.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not shared.exists():
            shared.write_text(json.dumps(_play(folder / "run")))
    answer: dict[str, Any] = json.loads(shared.read_text())
    return answer


def _play(folder: Path) -> dict[str, Any]:
    """Run the demo, kill each victim twice while requests pass, return the summary that it prints."""
    command = [str(Path(sys.executable).parent / "tollkeeper"), "demo", "--once", "--json"]
    with subprocess.Popen(
        [*command, "--requests", str(REQUESTS), "--folder", str(folder)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "STRIPE_API_KEY"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        _wait_for_traffic(folder / "records.json", demo)
        for _ in range(KILLS_EACH):
            for victim in VICTIMS:
                _kill(folder / "processes.json", victim)
                time.sleep(0.4)
        printed, progress = demo.communicate(timeout=400)
    assert demo.returncode == 0, progress
    answer: dict[str, Any] = json.loads(printed)
    return answer


def _wait_for_traffic(records: Path, demo: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 180
    while not (records.exists() and records.stat().st_size):
        assert demo.poll() is None, demo.stderr.read() if demo.stderr else ""
        assert time.monotonic() < deadline, "no request passed the gateway"
        time.sleep(0.05)


def _kill(pids: Path, victim: str) -> None:
    """Kill the process that runs under the name now; one that was killed before must be up again."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pid = json.loads(pids.read_text())[victim]
        if pid != _killed.get(victim):
            os.kill(pid, signal.SIGKILL)
            _killed[victim] = pid
            return
        time.sleep(0.05)
    raise AssertionError(f"{victim} was not started again")


_killed: dict[str, int] = {}


def test_every_victim_was_killed_twice(summary: dict[str, Any]) -> None:
    assert summary["restarts"] == dict.fromkeys(VICTIMS, KILLS_EACH)


def test_every_request_sent_is_stored_once(summary: dict[str, Any]) -> None:
    assert summary["requests_sent"] == summary["events_stored"] == REQUESTS
    assert sum(row["stored"] for row in summary["consumers"]) == REQUESTS


def test_what_was_not_refused_is_billed_for_every_consumer(summary: dict[str, Any]) -> None:
    assert {row["consumer"]: row["sent"] - row["refused"] for row in summary["consumers"]} == {
        row["consumer"]: row["billed"] for row in summary["consumers"]
    }
    assert summary["problems"] == []


def test_invoices_add_up_follow_from_the_events_and_are_in_stripe(summary: dict[str, Any]) -> None:
    assert {invoice["customer"] for invoice in summary["invoices"]} == {"skyline", "nimbus"}
    for invoice in summary["invoices"]:
        assert sum(Decimal(line["amount"]) for line in invoice["lines"]) == Decimal(invoice["total"])
        assert invoice["is_verified"]
        assert invoice["stripe_status"] == "open"
        assert invoice["stripe_is_stand_in"]


def test_the_parent_s_invoice_holds_its_subsidiaries_usage(summary: dict[str, Any]) -> None:
    invoice = next(invoice for invoice in summary["invoices"] if invoice["customer"] == "skyline")
    [bookings] = [line for line in invoice["lines"] if ", bookings" in line["description"]]
    assert {share["customer"] for share in bookings["shares"]} == {"skyline", "skyline-cargo", "skyline-holidays"}
    assert all(Decimal(share["quantity"]) > 0 for share in bookings["shares"])
    assert sum(Decimal(share["amount"]) for share in bookings["shares"]) == Decimal(bookings["amount"])
