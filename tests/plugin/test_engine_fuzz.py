"""Garbage on the socket: it never stops the server, leaks an event, a connection or memory."""

import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.plugin.rpc_client import ServerProcess, server
from tests.waiting import PATIENCE_SECONDS, wait_until

METHODS = [
    "plugin.HandleEvent", "plugin.Step", "plugin.StepError", "plugin.StepConsumer", "plugin.StartInstance",
    "plugin.CloseInstance", "plugin.InstanceStatus", "plugin.GetStatus", "plugin.", "plugin", "", "kong.log", "a.b.c",
    "plugin.__init__", "plugin.StepÿŤ",
]  # fmt: skip
KEYS = ["InstanceId", "EventId", "EventName", "Data", "Name", "Config", "", "x"]
PHASES = ["access", "log", "rewrite", "", "__class__", 7, None]


class Garbage:
    """One seeded stream of cases; `instances` are live ones, so that some of the garbage gets far."""

    def __init__(self, seed: int, instances: list[int]) -> None:
        self.random = random.Random(seed)
        self.instances = instances
        self.events: list[int] = []
        self.kinds: list[Callable[[], bytes]] = [
            self.bytes_of_any_kind, self.messagepack, self.rpc, self.rpc, self.event, self.event, self.step, self.step,
            self.half, self.lying_header, self.nested, self.several,
        ]  # fmt: skip

    def case(self) -> bytes:
        return self.random.choice(self.kinds)()

    def bytes_of_any_kind(self) -> bytes:
        return self.random.randbytes(self.random.randrange(1, 200))

    def value(self, depth: int = 0) -> Any:
        leaves: list[Callable[[], Any]] = [
            lambda: self.random.choice([None, True, False, -1, 0, 1, 2**64 - 1, -(2**63), 1.5, float("nan")]),
            lambda: self.random.choice(METHODS + KEYS),
            lambda: self.random.randbytes(self.random.randrange(20)),
            lambda: "\udcff" * self.random.randrange(4),
            lambda: self.random.choice([*self.instances, *self.events, 0]),
            lambda: msgpack.ExtType(self.random.randrange(128), b"x" * self.random.randrange(20)),
        ]
        branches: list[Callable[[], Any]] = [
            lambda: [self.value(depth + 1) for _ in range(self.random.randrange(5))],
            lambda: {key: self.value(depth + 1) for key in self.random.sample(KEYS, self.random.randrange(4))},
            lambda: {key: self.value(depth + 1) for key in [1, None, b"\xff", 2.5]},
        ]
        return self.random.choice(leaves if depth == 3 else leaves + branches)()

    def pack(self, value: Any) -> bytes:
        return bytes(msgpack.packb(value, unicode_errors="surrogateescape"))

    def messagepack(self) -> bytes:
        return self.pack(self.value())

    def rpc(self) -> bytes:
        kind = self.random.choice([0, 0, 0, 0, 1, 2, "0", None])
        number = self.random.choice([1, 1, 1, 2**40, -1, 2**64 - 1, "1", None, 1.0])
        arguments = self.random.choice([[self.value()], [self.value()], [], self.value()])
        return self.pack([kind, number, self.random.choice(METHODS), arguments])

    def event(self) -> bytes:
        argument = {"InstanceId": self.random.choice(self.instances), "EventName": self.random.choice(PHASES)}
        return self.pack([0, 1, "plugin.HandleEvent", [argument]])

    def step(self) -> bytes:
        event = self.random.choice([*self.events[-20:], 0, -5, "1", None])
        argument = {"EventId": event, "Data": self.value()}
        return self.pack([0, 1, self.random.choice(METHODS[1:4]), [argument]])

    def half(self) -> bytes:
        whole = self.event()
        return whole[: self.random.randrange(1, len(whole))]

    def lying_header(self) -> bytes:
        """Claim billions of elements or bytes, and send none."""
        return self.random.choice([b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"]) + b"\xff\xff\xff\xff" + b"\x00" * 3

    def nested(self) -> bytes:
        return self.random.choice([b"\x91", b"\x81\x01"]) * self.random.choice([10, 600, 30_000])

    def several(self) -> bytes:
        return b"".join(self.case() for _ in range(self.random.randrange(1, 5)))


def send_case(process: ServerProcess, garbage: Garbage) -> None:
    """Send one case on a connection of its own; half of them see the answer to its end."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect(str(process.socket_path))
        try:
            connection.sendall(garbage.case())
            if garbage.random.random() < 0.5:
                return
            connection.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        except (BrokenPipeError, ConnectionResetError):
            return
    unpacker = msgpack.Unpacker(unicode_errors="surrogateescape", strict_map_key=False)
    unpacker.feed(received)
    for reply in unpacker:
        assert reply[0] == 1, "every answer is an RPC response"
        if reply[3] and "EventId" in reply[3]:
            garbage.events.append(reply[3]["EventId"])


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def fuzz(folder: Path, *, cases: int, seed: int) -> None:
    limits = {"EVENT_SECONDS": "1", "WAITING_EVENTS": "500"}
    actions = ["ask", "ask_and_echo", "exit", "raise_at_once", "raise_later", "nothing"]
    with server(folder, "ours", environment=limits) as process, process.connect() as kong:
        garbage = Garbage(seed, [kong.start(access=action, log="ask") for action in actions])
        files, memory = open_files(process.pid), resident_mib(process.pid)
        for number in range(cases):
            if number % 500 == 0:  # the garbage has closed some of the instances
                garbage.instances = [kong.start(access=action, log="ask") for action in actions]
            send_case(process, garbage)
        assert process.process.poll() is None
        assert kong.event(kong.start(access="nothing"))["Data"] == "ret"
        assert wait_until(lambda: kong.call("GetStatus")["WaitingEvents"] == 0), "no event is left"
        assert wait_until(lambda: open_files(process.pid) <= files), "no connection is left"
        assert resident_mib(process.pid) < memory + 40


def test_garbage_never_stops_the_server_or_leaks_an_event(tmp_path: Path) -> None:
    fuzz(tmp_path, cases=2_000, seed=1)


@pytest.mark.nightly
def test_much_garbage_never_stops_the_server_or_leaks_an_event(tmp_path: Path) -> None:
    fuzz(tmp_path, cases=100_000, seed=2)
