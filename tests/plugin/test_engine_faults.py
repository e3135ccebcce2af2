"""The seven faults of kong-pdk 0.36: each shown on the stock server, each closed on ours, over a real socket."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.rpc_client import ROOT, SCENARIOS, Rpc, ServerProcess, connect, server, threads_of
from tests.waiting import PATIENCE_SECONDS, wait_until

SOON = 1.0  # seconds after which the stock server's answer counts as none

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers, each in a folder of its own, and ends them after the test."""
    running = []

    def start(*arguments: str, folder: Path | None = None, **environment: str) -> ServerProcess:
        folder = folder or tmp_path / f"server{len(running)}"
        folder.mkdir(exist_ok=True)
        context = server(folder, *arguments, environment=environment)
        process = context.__enter__()
        running.append(context)
        return process

    yield start
    for context in reversed(running):
        context.__exit__(None, None, None)


def hangs(kong: Rpc, call: Callable[[], object]) -> bool:
    """Say whether a call is not answered."""
    kong.socket.settimeout(SOON)
    try:
        call()
    except TimeoutError:
        return True
    return False


# 1. exceptions


def test_an_exception_before_the_first_call_ends_the_event_and_nothing_else(start: Start) -> None:
    ours = start("ours")
    with ours.connect() as kong:
        assert kong.event(kong.start(access="raise_at_once"))["Data"] == "ret"
        assert kong.event(kong.start(access="nothing"))["Data"] == "ret"


@pytest.mark.parametrize("mode", [[], ["-g"]], ids=["threads", "gevent"])
def test_on_the_stock_server_it_locks_every_event_of_every_instance(start: Start, mode: list[str]) -> None:
    stock = start("stock", *mode)
    with stock.connect() as kong, stock.connect() as other:
        bad, good = kong.start(access="raise_at_once"), kong.start(access="nothing")
        assert other.event(good)["Data"] == "ret"
        assert hangs(kong, lambda: kong.event(bad))
        assert hangs(other, lambda: other.event(good))


def test_an_exception_after_a_call_ends_the_event(start: Start) -> None:
    with start("ours").connect() as kong:
        event = kong.event(kong.start(access="raise_later"))
        assert kong.step(event["EventId"])["Data"] == "ret"


def test_a_plugin_that_is_not_fault_tolerant_answers_500_for_an_exception_in_access(start: Start) -> None:
    with start("ours").connect() as kong:
        event = kong.event(kong.start(access="raise_at_once", log="raise_at_once", fault_tolerant=False))
        assert event["Data"] == {"Method": "kong.response.exit", "Args": [500, "{}", {}]}
        later = kong.event(kong.start(access="raise_later", fault_tolerant=False))
        assert kong.step(later["EventId"])["Data"]["Args"][0] == 500


def test_on_the_stock_server_an_exception_after_a_call_hangs_the_request(start: Start) -> None:
    with start("stock", "-g").connect() as kong:
        event = kong.event(kong.start(access="raise_later"))
        assert hangs(kong, lambda: kong.step(event["EventId"]))


# 2. kong.response.exit


def test_exit_ends_the_event(start: Start) -> None:
    with start("ours").connect() as kong:
        event = kong.event(kong.start(access="exit"))
        assert event["Data"] == {"Method": "kong.response.exit", "Args": [429, "no", {"x": "y"}]}
        with pytest.raises(RuntimeError, match=f"event id {event['EventId']} not found"):
            kong.step(event["EventId"])


@pytest.mark.parametrize("mode", [[], ["-g"]], ids=["threads", "gevent"])
def test_on_the_stock_server_each_exit_leaks_an_event(start: Start, mode: list[str]) -> None:
    with start("stock", *mode).connect() as kong:
        instance = kong.start(access="exit")
        for _ in range(20):
            kong.event(instance)
        assert kong.call("CountEvents") == 20


# 3. bytes that are not UTF-8


def test_a_header_that_is_not_utf8_reaches_the_handler_and_goes_back_unchanged(start: Start) -> None:
    with start("ours").connect() as kong:
        event = kong.event(kong.start(access="ask_and_echo"))
        answer = kong.step(event["EventId"], b"caf\xe9\xff".decode("utf-8", "surrogateescape"))
        assert answer["Data"]["Args"][1].encode("utf-8", "surrogateescape") == b"caf\xe9\xff"


def test_on_the_stock_server_it_kills_the_connection(start: Start) -> None:
    with start("stock", "-g").connect() as kong:
        event = kong.event(kong.start(access="ask_and_echo"))
        with pytest.raises((EOFError, ConnectionError)):
            kong.step(event["EventId"], "caf\udce9")


# 4. the lock


def test_a_handler_that_waits_keeps_nobody_else_waiting(start: Start) -> None:
    ours = start("ours")
    with ours.connect() as slow, ours.connect() as kong:
        waiting, quick = kong.start(access="wait_for_release"), kong.start(access="nothing", log="release")
        slow.send("HandleEvent", {"InstanceId": waiting, "EventName": "access"})
        for _ in range(3):
            assert kong.event(quick)["Data"] == "ret"
        kong.event(quick, "log")
        assert slow.receive()[3]["Data"]["Method"] == "kong.request.get_header"


def test_on_the_stock_server_everybody_waits_for_it(start: Start) -> None:
    stock = start("stock", "-g")
    with stock.connect() as slow, stock.connect() as kong:
        waiting, quick = kong.start(access="wait_first"), kong.start(access="nothing")
        slow.send("HandleEvent", {"InstanceId": waiting, "EventName": "access"})
        assert wait_until(lambda: hangs(kong, lambda: kong.event(quick))), "at once, or after the slow one has begun"


# 5. instance ids


def names_after_restart(start: Start, folder: Path, which: str) -> Any:
    """Start an instance `old`, restart the server with an instance `new`, and use the old id."""
    first = start(which, folder=folder)
    with first.connect() as kong:
        old = kong.start(access="say_name", name="old")
    first.stop(signal.SIGKILL)
    with start(which, folder=folder).connect() as kong:
        kong.start(access="say_name", name="new")
        return kong.event(old)["Data"]["Args"]


def test_a_stale_instance_id_never_reaches_another_configuration(start: Start, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^no plugin instance #"):
        names_after_restart(start, tmp_path / "ours", "ours")


def test_on_the_stock_server_a_stale_id_runs_another_configuration(start: Start, tmp_path: Path) -> None:
    assert names_after_restart(start, tmp_path / "stock", "stock") == ["new"]


# 6. short sends and abandoned events


def receive_slowly(kong: Any) -> int:
    """Return how many bytes of an answer come, about, taking none before the socket's buffer is full."""
    time.sleep(0.3)
    received = 0
    while received <= 8 << 20:
        try:
            piece = kong.socket.recv(1 << 16)
        except TimeoutError:
            return received
        received += len(piece)
    return received


def test_an_answer_larger_than_the_socket_s_buffer_comes_whole(start: Start) -> None:
    with start("ours").connect() as kong:
        kong.send("HandleEvent", {"InstanceId": kong.start(access="send_much"), "EventName": "access"})
        assert receive_slowly(kong) > 8 << 20


def test_on_the_stock_server_it_is_cut(start: Start) -> None:
    with start("stock", "-g").connect() as kong:
        kong.send("HandleEvent", {"InstanceId": kong.start(access="send_much"), "EventName": "access"})
        kong.socket.settimeout(SOON)
        assert 0 < receive_slowly(kong) < 8 << 20


def test_an_event_that_kong_abandons_is_forgotten_in_time(start: Start) -> None:
    with start("ours", EVENT_SECONDS="0.5").connect() as kong:
        event = kong.event(kong.start(access="ask"))
        assert wait_until(lambda: kong.call("GetStatus")["WaitingEvents"] == 0)
        with pytest.raises(RuntimeError, match="not found"):
            kong.step(event["EventId"])


def test_events_that_kong_abandons_never_exceed_the_bound(start: Start) -> None:
    with start("ours", WAITING_EVENTS="10").connect() as kong:
        instance = kong.start(access="ask")
        events = [kong.event(instance)["EventId"] for _ in range(11)]
        with pytest.raises(RuntimeError, match="not found"):
            kong.step(events[0])
        assert kong.step(events[1])["Data"] == "ret"


def test_on_the_stock_server_abandoned_events_stay(start: Start) -> None:
    with start("stock", "-g").connect() as kong:
        instance = kong.start(access="ask")
        for _ in range(50):
            kong.event(instance)
        time.sleep(2.0)
        assert kong.call("CountEvents") == 50


# 7. modes, threads, ends


def test_an_instance_may_hold_what_cannot_be_pickled(start: Start) -> None:
    with start("ours").connect() as kong:
        assert kong.event(kong.start(access="ask", unpicklable=True))["Data"]["Method"] == "kong.request.get_header"


def test_on_the_stock_server_multiprocessing_hangs_on_it(start: Start) -> None:
    with start("stock", "-m").connect() as kong:
        assert hangs(kong, lambda: kong.event(kong.start(access="ask", unpicklable=True)))


def test_neither_events_nor_idle_connections_cost_a_thread(start: Start) -> None:
    ours = start("ours")
    with ours.connect() as kong:
        instance = kong.start(access="ask")
        before = threads_of(ours.pid)
        others = [ours.connect() for _ in range(20)]
        for other in others:
            other.event(instance)
        after = threads_of(ours.pid)
        for other in others:
            other.socket.close()
        assert after == before


def test_on_the_stock_server_both_cost_one(start: Start) -> None:
    stock = start("stock")
    with stock.connect() as kong:
        instance = kong.start(access="ask")
        before = threads_of(stock.pid)
        others = [stock.connect() for _ in range(20)]
        for other in others:
            other.event(instance)
        after = threads_of(stock.pid)
        for other in others:
            other.socket.close()
        # one for each of 20 connections and 20 events, less the few that had ended when we counted
        assert after >= before + 35


def orphan(folder: Path, which: str) -> int:
    """Start a server from a parent that ends once it answers; return the server's pid."""
    folder.mkdir()
    code = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL,"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); print(p.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, sys.executable, str(SCENARIOS), which, "-p", str(folder)]
    environment = os.environ | {"ENDS_WITH_PARENT": "1", "PYTHONWARNINGS": "ignore"}
    with (
        subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent,
        connect(folder / "scenario.sock") as kong,
    ):
        assert kong.call("GetStatus")
        assert parent.stdout
        return int(parent.stdout.readline())


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_that_kong_started_ends_with_kong(tmp_path: Path) -> None:
    pid = orphan(tmp_path / "ours", "ours")
    assert wait_until(lambda: not is_running(pid))
    assert not (tmp_path / "ours" / "scenario.sock").exists()


def test_a_server_whose_kong_is_gone_answers_until_its_successor_listens(tmp_path: Path) -> None:
    """A reload ends the old worker, and with it the old server, while the new one is still starting."""
    pid = orphan(tmp_path / "ours", "ours")
    second = ServerProcess(tmp_path / "ours", "ours")
    try:
        while is_running(pid):
            assert second.socket_path.exists()
            time.sleep(0.01)
        with second.connect() as kong:
            assert kong.call("GetStatus")["Pid"] == second.pid
    finally:
        second.close()


def test_the_stock_server_s_orphan_never_ends(tmp_path: Path) -> None:
    pid = orphan(tmp_path / "stock", "stock")
    try:
        assert not wait_until(lambda: not is_running(pid), 4)
        connect(tmp_path / "stock" / "scenario.sock").socket.close()
    finally:
        os.kill(pid, signal.SIGKILL)


def test_sigterm_drains_and_flushes(start: Start, tmp_path: Path) -> None:
    flushed = tmp_path / "flushed"
    ours = start("ours", ENDED_FILE=str(flushed))
    with ours.connect() as kong:
        event = kong.event(kong.start(access="ask_and_echo"))
        ours.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: not ours.socket_path.exists())
        step = kong.step(event["EventId"], "still answered")
        assert step["Data"]["Args"] == ["x", "still answered"]
        assert kong.step(event["EventId"])["Data"] == "ret"
        assert ours.process.wait(PATIENCE_SECONDS) == 0
    assert flushed.read_text() == "flushed"
    assert not ours.socket_path.exists()


def test_on_the_stock_server_sigterm_skips_whatever_would_flush(start: Start, tmp_path: Path) -> None:
    flushed = tmp_path / "flushed"
    stock = start("stock", "-g", ENDED_FILE=str(flushed))
    stock.stop(signal.SIGTERM)
    assert not flushed.exists()
