"""The server around the engine: framing, many connections, two servers on one path, ends."""

import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgpack
import pytest

from tests.plugin.rpc_client import Rpc, ServerProcess, server
from tests.waiting import PATIENCE_SECONDS, wait_until
from tollkeeper_kong.engine import Engine
from tollkeeper_kong.handover import door_of
from tollkeeper_kong.listener import PublishedSocket
from tollkeeper_kong.peers import own_name
from tollkeeper_kong.server import Server, ServerOptions


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[ServerProcess]:
    with server(tmp_path, "ours", environment={"HALF_MESSAGE_SECONDS": "1"}) as process:
        yield process


def test_a_message_that_comes_byte_by_byte_is_answered(ours: ServerProcess) -> None:
    with ours.connect() as kong:
        instance = kong.start(access="ask")
        message = msgpack.packb([0, 99, "plugin.HandleEvent", [{"InstanceId": instance, "EventName": "access"}]])
        for index in range(len(message)):
            kong.socket.sendall(message[index : index + 1])
            time.sleep(0.002)
        assert kong.receive()[3]["Data"]["Method"] == "kong.request.get_header"


def test_messages_that_come_at_once_are_all_answered_in_order(ours: ServerProcess) -> None:
    with ours.connect() as kong:
        instance = kong.start(access="nothing")
        kong.socket.sendall(
            b"".join(
                msgpack.packb([0, number, "plugin.HandleEvent", [{"InstanceId": instance, "EventName": "access"}]])
                for number in range(100, 200)
            )
        )
        assert [kong.receive()[1] for _ in range(100)] == list(range(100, 200))


def test_the_steps_of_an_event_may_come_on_other_connections(ours: ServerProcess) -> None:
    with ours.connect() as first, ours.connect() as second, ours.connect() as third:
        event = first.event(first.start(access="ask_and_echo"))["EventId"]
        assert second.step(event, "value")["Data"]["Args"] == ["x", "value"]
        assert third.step(event)["Data"] == "ret"


def test_a_repeated_step_is_refused(ours: ServerProcess) -> None:
    with ours.connect() as kong:
        event = kong.event(kong.start(access="ask"))["EventId"]
        assert kong.step(event)["Data"] == "ret"
        with pytest.raises(RuntimeError, match=f"^event id {event} not found$"):
            kong.step(event)


def test_a_closed_instance_is_unknown_and_its_events_still_end(ours: ServerProcess) -> None:
    with ours.connect() as kong:
        instance = kong.start(access="ask")
        event = kong.event(instance)["EventId"]
        assert kong.call("CloseInstance", instance) == {"Name": "scenario", "Id": instance, "Config": {"access": "ask"}}
        with pytest.raises(RuntimeError, match=f"^no plugin instance #{instance}$"):
            kong.event(instance)
        assert kong.step(event)["Data"] == "ret"


def test_a_phase_that_the_plugin_does_not_have_is_over_at_once(ours: ServerProcess) -> None:
    with ours.connect() as kong:
        assert kong.event(kong.start(), "rewrite")["Data"] == "ret"


def test_a_connection_that_breaks_leaves_the_others(ours: ServerProcess) -> None:
    with ours.connect() as kong:
        instance = kong.start(access="ask")
        with ours.connect() as broken:
            broken.socket.sendall(b"\xc1")
            assert broken.socket.recv(1) == b""
        assert kong.event(instance)["Data"]["Method"] == "kong.request.get_header"


def test_half_a_message_is_given_up_in_time_and_an_idle_connection_is_not(ours: ServerProcess) -> None:
    with ours.connect() as idle, ours.connect() as half:
        instance = idle.start(access="nothing")
        half.socket.sendall(b"\x94\x00")
        assert half.socket.recv(1) == b""
        assert idle.event(instance)["Data"] == "ret"


def test_the_socket_is_closed_to_strangers(ours: ServerProcess) -> None:
    assert stat.S_IMODE(ours.socket_path.stat().st_mode) & 0o007 == 0


def test_a_second_server_takes_over_the_path_while_the_first_still_answers(ours: ServerProcess, tmp_path: Path) -> None:
    """What `kong reload` does: the old workers keep their pooled connections to the old server."""
    with ours.connect() as old:
        instance = old.start(access="ask")
        second = ServerProcess(tmp_path, "ours")
        try:
            first_inode = ours.socket_path.stat().st_ino
            assert wait_until(lambda: ours.socket_path.exists() and ours.socket_path.stat().st_ino != first_inode)
            assert old.event(instance)["Data"]["Method"] == "kong.request.get_header"
            assert ours.stop(signal.SIGTERM) == 0
            assert second.socket_path.exists(), "the old server must not remove the new server's socket"
            with second.connect() as new:
                with pytest.raises(RuntimeError, match="no plugin instance"):
                    new.event(instance)
                assert new.event(new.start(access="nothing"))["Data"] == "ret"
            assert second.stop(signal.SIGTERM) == 0
            assert not second.socket_path.exists()
        finally:
            second.close()


@pytest.fixture
def beside(ours: ServerProcess, tmp_path: Path) -> Iterator[ServerProcess]:
    """A second server that has taken over the path."""
    inode = ours.socket_path.stat().st_ino
    second = ServerProcess(tmp_path, "ours")
    try:
        assert wait_until(lambda: ours.socket_path.stat().st_ino != inode)
        yield second
    finally:
        second.close()


@pytest.fixture
def old(ours: ServerProcess) -> Iterator[Rpc]:
    """A connection of Kong's pool from before the second server."""
    with ours.connect() as connection:
        yield connection


def test_a_step_that_reaches_the_server_beside_ends_its_event(old: Rpc, beside: ServerProcess) -> None:
    """During `kong reload` Kong's pool holds connections to both servers, and each call takes any of them."""
    with beside.connect() as new:
        begun = old.event(old.start(access="ask_and_echo"))["EventId"]
        assert new.step(begun, "caf\udce9")["Data"]["Args"] == ["x", "caf\udce9"]
        assert old.step(begun)["Data"] == "ret"
        begun = new.event(new.start(access="ask_and_echo"))["EventId"]
        assert old.step(begun, "value")["Data"]["Args"] == ["x", "value"]
        assert new.step(begun)["Data"] == "ret"
        assert new.call("GetStatus")["WaitingEvents"] == old.call("GetStatus")["WaitingEvents"] == 0


def test_an_instance_is_found_on_the_server_beside_and_not_started_again(old: Rpc, beside: ServerProcess) -> None:
    with beside.connect() as new:
        instance = old.start(access="nothing")
        assert new.event(instance)["Data"] == "ret"
        assert new.call("CloseInstance", instance)["Id"] == instance
        with pytest.raises(RuntimeError, match=f"^no plugin instance #{instance}$"):
            new.event(instance)


def test_what_neither_server_knows_is_answered_as_ever(old: Rpc, beside: ServerProcess) -> None:
    with beside.connect() as new:
        for connection in (old, new):
            with pytest.raises(RuntimeError, match=r"^no plugin instance #7$"):
                connection.event(7)
            with pytest.raises(RuntimeError, match=r"^event id 7 not found$"):
                connection.step(7)


def test_a_server_that_ends_lets_its_events_end_by_way_of_its_successor(
    ours: ServerProcess, old: Rpc, beside: ServerProcess
) -> None:
    with beside.connect() as new:
        begun = old.event(old.start(access="ask"))["EventId"]
        ours.process.send_signal(signal.SIGTERM)
        assert new.step(begun)["Data"] == "ret"
        assert ours.process.wait(PATIENCE_SECONDS) == 0


def test_a_server_that_ends_gives_its_connections_to_its_successor(
    ours: ServerProcess, old: Rpc, beside: ServerProcess
) -> None:
    """Kong may be about to send on any of them, or may have sent already."""
    with ExitStack() as stack:
        idle = stack.enter_context(Rpc(ours.socket_path.with_name(f".{ours.socket_path.name}.{ours.pid}")))
        begun = old.event(old.start(access="ask_and_echo"))["EventId"]
        assert idle.call("GetStatus")["Pid"] == ours.pid
        ours.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: idle.call("GetStatus")["Pid"] == beside.pid)
        assert ours.process.poll() is None
        assert idle.step(begun, "value")["Data"]["Args"] == ["x", "value"]
        assert old.step(begun)["Data"] == "ret"
        assert ours.process.wait(PATIENCE_SECONDS) == 0
        assert old.call("GetStatus")["Pid"] == beside.pid
        assert idle.event(idle.start(access="nothing"))["Data"] == "ret"
        with pytest.raises(RuntimeError, match=f"^event id {begun} not found$"):
            old.step(begun)


def test_a_connection_whose_step_is_at_the_successor_is_given_too(
    ours: ServerProcess, old: Rpc, beside: ServerProcess
) -> None:
    """It is in nobody's table of waiting events meanwhile."""
    with beside.connect() as new:
        begun = new.event(new.start(access="ask"))["EventId"]
        beside.process.send_signal(signal.SIGSTOP)
        old.send("Step", {"EventId": begun, "Data": "value"})
        ours.process.send_signal(signal.SIGTERM)
        # it has ended too early, or waits as it should
        wait_until(lambda: not own_name(ours.socket_path, ours.pid).exists(), 0.3)
        beside.process.send_signal(signal.SIGCONT)
        old.receive()
        assert wait_until(lambda: old.call("GetStatus")["Pid"] == beside.pid)
    assert ours.process.wait(PATIENCE_SECONDS) == 0


def test_what_was_sent_before_sigterm_is_still_answered(ours: ServerProcess, old: Rpc) -> None:
    """More than the server takes from its sockets in one turn, half of it on connections that it has not accepted."""
    instance = old.start(access="nothing")
    with ExitStack() as stack:
        kong = [stack.enter_context(ours.connect()) for _ in range(200)]
        assert [connection.call("GetStatus")["WaitingEvents"] for connection in kong] == [0] * 200
        ours.process.send_signal(signal.SIGSTOP)
        kong += [stack.enter_context(ours.connect()) for _ in range(200)]
        for connection in kong:
            connection.send("HandleEvent", {"InstanceId": instance, "EventName": "access"})
        ours.process.send_signal(signal.SIGTERM)
        ours.process.send_signal(signal.SIGCONT)
        assert [connection.receive()[3]["Data"] for connection in kong] == ["ret"] * 400
    assert ours.process.wait(PATIENCE_SECONDS) == 0


def test_servers_that_were_killed_leave_nothing_in_the_folder(tmp_path: Path) -> None:
    for _ in range(2):
        with server(tmp_path, "ours") as killed:
            killed.stop(signal.SIGKILL)
    with server(tmp_path, "ours") as process:
        process.stop(signal.SIGTERM)
    assert [path for path in tmp_path.iterdir() if path.is_socket()] == []


def test_the_path_is_never_empty_during_a_take_over(ours: ServerProcess, tmp_path: Path) -> None:
    second = ServerProcess(tmp_path, "ours")
    try:
        inode = ours.socket_path.stat().st_ino
        while ours.socket_path.stat().st_ino == inode:  # raises FileNotFoundError if it is empty for once
            assert second.process.poll() is None
    finally:
        second.close()


def test_a_socket_left_by_a_killed_server_is_taken_over(tmp_path: Path) -> None:
    with server(tmp_path, "ours") as killed:
        killed.stop(signal.SIGKILL)
        assert killed.socket_path.exists()
    with server(tmp_path, "ours") as process, process.connect() as kong:
        assert kong.event(kong.start())["Data"] == "ret"


def test_a_server_knows_when_another_has_succeeded_it(tmp_path: Path) -> None:
    path = tmp_path / "t.sock"
    server = Server(Engine({}), ServerOptions(path))
    server._publish()
    seen = []
    try:
        server._look_at_path()
        seen.append(server.is_succeeded)
        second = PublishedSocket(path)
        server._look_at_path()
        seen.append(server.is_succeeded)
        second.withdraw()
        second.close()
        server._look_at_path()  # nobody's: ours again
        seen.append(server.is_succeeded)
        assert path.exists()
    finally:
        server._acceptor.close()
        server._published.close()
        server._workers.close()
    assert seen == [False, True, False]


def test_a_server_with_the_process_id_of_a_killed_one_still_takes_connections(tmp_path: Path) -> None:
    """In a container every start has the same: what the killed one left is not to be taken for ours."""
    path = tmp_path / "t.sock"
    killed = socket.socket(socket.AF_UNIX)
    killed.bind(str(own_name(path, os.getpid())))
    killed.close()
    server = Server(Engine({}), ServerOptions(path))
    server._publish()
    try:
        assert door_of(own_name(path, os.getpid())).is_socket()
    finally:
        server._unpublish()
        server._workers.close()
    assert [left for left in tmp_path.iterdir() if left.is_socket()] == [path]


def test_a_path_that_somebody_removed_is_published_again(ours: ServerProcess, old: Rpc) -> None:
    """`kong start` removes the sockets in its prefix, also that of a sidecar that runs already."""
    instance = old.start(access="nothing")
    for name in [path for path in ours.socket_path.parent.iterdir() if path.is_socket()]:
        name.unlink()
    folder = ours.socket_path.parent
    folder.rename(folder.with_name("away"))
    time.sleep(1.0)
    folder.with_name("away").rename(folder)
    with ours.connect() as new:
        assert new.event(instance)["Data"] == old.event(instance)["Data"] == "ret"


def test_many_connections_are_served_at_once(ours: ServerProcess) -> None:
    connections = [ours.connect() for _ in range(300)]
    instance = connections[0].start(access="ask")
    for connection in connections:
        connection.send("HandleEvent", {"InstanceId": instance, "EventName": "access"})
    events = [connection.receive()[3]["EventId"] for connection in connections]
    assert len(set(events)) == 300
    for connection, event in zip(reversed(connections), events, strict=True):
        assert connection.step(event)["Data"] == "ret"
        connection.socket.close()
