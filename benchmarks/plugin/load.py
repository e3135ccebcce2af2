"""Kong's side of the benchmark: many connections, each with one event in flight, driven by one epoll loop."""

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgpack

from benchmarks.plugin.servers import ALLOWED, DENIED, SOCKET_NAME

ROOT = Path(__file__).parent.parent.parent
SERIALIZED = (ROOT / "tests/recordings/kong/kong-serialize-keyauth.json").read_text()
CONNECTIONS = 32
TICK = os.sysconf("SC_CLK_TCK")
RET = 0xA3  # the type byte of "ret", where a reply's Data begins


@dataclass(slots=True)
class Measured:
    """One run against one server."""

    events: int
    seconds: float
    cpu_seconds: float
    answering_seconds: float
    """Of the CPU time, that of the thread that answers Kong."""

    @property
    def rate(self) -> float:
        """Events per second of wall clock."""
        return self.events / self.seconds

    @property
    def rate_per_core(self) -> float:
        """Events per second of the server's own CPU time: what a core of its own would do."""
        return self.events / self.cpu_seconds

    @property
    def answering_rate(self) -> float:
        """Events per second of CPU time of the thread that answers: the rate with a second core for the disk's."""
        return self.events / self.answering_seconds


def consumer(consumer_id: str) -> dict[str, object]:
    return {
        "id": consumer_id, "username": "alice", "custom_id": "alice-42", "tags": ["team-a"],
        "created_at": 1795331824, "updated_at": 1795331824,
    }  # fmt: skip


def step_head(method: str, answer: object) -> bytes:
    """Return a step message up to the event's id."""
    head = b"\x94\x00\x01" + bytes(msgpack.packb(method)) + b"\x91\x82\xa4Data"
    return head + bytes(msgpack.packb(answer)) + b"\xa7EventId"


STEPS = {
    b"consumer": step_head("plugin.StepConsumer", consumer(ALLOWED)),
    b"serialize": step_head("plugin.Step", SERIALIZED),
}
DENIED_STEP = step_head("plugin.StepConsumer", consumer(DENIED))


def step_for(reply: bytes) -> bytes:
    """Return the step that answers the PDK call in a reply; raises ValueError for an error."""
    if b"EventId" not in reply:
        raise ValueError(msgpack.unpackb(reply))
    head = STEPS[b"serialize" if b"serialize" in reply else b"consumer"]
    return head + reply[reply.rindex(b"EventId") + 7 :]


def event_message(instance: int, phase: str) -> bytes:
    return bytes(msgpack.packb([0, 1, "plugin.HandleEvent", [{"InstanceId": instance, "EventName": phase}]]))


class Connections:
    """Connections to one server, watched together."""

    def __init__(self, path: Path, count: int = CONNECTIONS) -> None:
        self.poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        for _ in range(count):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            self.sockets[connection.fileno()] = connection
            self.poll.register(connection, select.EPOLLIN)

    def close(self) -> None:
        for connection in self.sockets.values():
            connection.close()
        self.poll.close()


def drive(path: Path, pid: int, phases: Sequence[str], *, seconds: float) -> Measured:
    """Run events through all connections, the phases in turn; count them and what CPU the server used."""
    instance = start_instance(path)
    messages = [event_message(instance, phase) for phase in phases]
    connections = Connections(path)
    turns = dict.fromkeys(connections.sockets, 0)
    for connection in connections.sockets.values():
        connection.send(messages[0])
    events, most = 0, len(messages)
    poll, sockets = connections.poll.poll, connections.sockets
    cpu, answering, began = cpu_seconds(pid), cpu_seconds(pid, thread=True), time.perf_counter()
    ends = began + seconds
    while time.perf_counter() < ends:
        for number, _ in poll():
            connection = sockets[number]
            reply = connection.recv(65536)
            if reply[10] == RET:
                events += 1
                turn = turns[number] = (turns[number] + 1) % most
                connection.send(messages[turn])
            else:
                connection.send(step_for(reply))
    measured = Measured(
        events,
        time.perf_counter() - began,
        cpu_seconds(pid) - cpu,
        cpu_seconds(pid, thread=True) - answering,
    )
    connections.close()
    return measured


def start_instance(path: Path) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(msgpack.packb([0, 1, "plugin.StartInstance", [{"Name": "bench", "Config": json.dumps({})}]]))
        return int(msgpack.unpackb(connection.recv(65536))[3]["Id"])


def cpu_seconds(pid: int, *, thread: bool = False) -> float:
    """Return the CPU time of a process, threads that have ended included, or of its first thread alone."""
    if thread:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**2


@contextmanager
def server(name: str, folder: Path, **environment: str) -> Iterator[tuple[Path, int]]:
    """Run a server on the first core and this process on the last; yields its socket and its process id."""
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.plugin.servers", name, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONWARNINGS": "ignore"} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if name.startswith("stock") else None,
    )
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(process.pid, {cores[0]})
    os.sched_setaffinity(0, {cores[-1]})
    try:
        wait_for(folder / SOCKET_NAME)
        yield folder / SOCKET_NAME, process.pid
    finally:
        os.sched_setaffinity(0, cores)
        process.terminate()
        process.wait(30)


def wait_for(path: Path) -> None:
    for _ in range(1500):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                time.sleep(0.02)
            else:
                return
    raise TimeoutError(path)
