"""The servers that are compared, each in a process of its own: `python -m benchmarks.plugin.servers NAME FOLDER`.

limit           a loop over epoll that answers the same bytes without any plugin: what Python cannot beat
ours            our engine, an access phase with one PDK call
stock-gevent    kong-pdk 0.36 -g, the same plugin; stock-threads: its default mode
empty           our engine, a plugin that makes the PDK calls of the whole plugin and nothing else
whole           the whole plugin: verdict, record, spool with group fdatasync
"""

import gc
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

SOCKET_NAME = "bench.sock"
CONSUMER_CALL = b"\x82\xa6Method\xb8kong.client.get_consumer\xa4Args\x90"
CONSUMERS = int(os.environ.get("BENCH_CONSUMERS", "10000"))
ALLOWED, DENIED = "b32379d9-3d28-5683-a79c-72139be6e34f", "00000000-0000-4000-8000-000000000000"


def run_limit(folder: Path) -> None:
    """Answer HandleEvent with the call and a step with `ret`, for as long as the process lives."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / SOCKET_NAME))
    listening.listen(4096)
    poll = select.epoll()
    poll.register(listening, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            if number == listening.fileno():
                connection, _ = listening.accept()
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            connection = connections[number]
            try:
                received = connection.recv(16384)
                if received:
                    connection.send(answer_of_limit(received))
                    continue
            except ConnectionError:
                pass
            poll.unregister(number)
            connections.pop(number).close()


_decode = msgspec.msgpack.Decoder().decode
_pack_id = struct.Struct(">BQ").pack
_last_event = [1 << 40]


def answer_of_limit(received: bytes) -> bytes:
    """Return the bytes that our engine would answer."""
    _, message_id, method, arguments = _decode(received)
    head = b"\x94\x01" + (bytes((message_id,)) if message_id < 128 else _pack_id(0xCF, message_id)) + b"\xc0"
    if method == "plugin.HandleEvent":
        _last_event[0] += 1
        return head + b"\x82\xa4Data" + CONSUMER_CALL + b"\xa7EventId" + _pack_id(0xCF, _last_event[0])
    if method == "plugin.StartInstance":
        return head + b"\x81\xa2Id\x01"
    return head + b"\x82\xa4Data\xa3ret\xa7EventId" + _pack_id(0xCF, arguments[0]["EventId"])


class StockPlugin:
    """One PDK call, as a plugin author writes it for kong-pdk."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def access(self, kong: Any) -> None:
        kong.client.get_consumer()


def run_stock(folder: Path, *flags: str) -> None:
    from kong_pdk.cli import start_dedicated_server  # noqa: PLC0415 - not in the other servers' processes

    sys.argv = ["bench", *flags, "-p", str(folder), "--socket-name", SOCKET_NAME, "--no-lua-style"]
    start_dedicated_server("bench", StockPlugin, "1.0.0", 0, [])


def run_empty(folder: Path) -> None:
    """Serve a plugin that asks what the whole plugin asks, and does nothing with the answers."""
    from tollkeeper_kong.pdk import Call, Steps  # noqa: PLC0415

    get_consumer, serialize = Call("kong.client.get_consumer"), Call("kong.log.serialize")

    class Plugin:
        def __init__(self, config: dict[str, Any]) -> None:
            self.phases = {"access": self.access, "log": self.log}

        def access(self) -> Steps:
            yield get_consumer

        def log(self) -> Steps:
            yield serialize

        def failure_answer(self, phase: str) -> None:
            return None

    _serve(folder, Plugin)


def run_whole(folder: Path) -> None:
    """Serve the whole plugin with many consumers in memory; the spool's records are thrown away after a while."""
    from tollkeeper_kong.handler import Tollkeeper  # noqa: PLC0415
    from tollkeeper_kong.node import Node  # noqa: PLC0415
    from tollkeeper_kong.snapshot import SnapshotBuilder  # noqa: PLC0415
    from tollkeeper_kong.spool import Spool  # noqa: PLC0415
    from tollkeeper_kong.verdicts import Verdicts  # noqa: PLC0415

    verdicts = Verdicts()
    verdicts.replace(SnapshotBuilder().apply(feed(), received_at=time.monotonic()))
    node = Node("bench", Spool(folder / "spool", max_bytes=1 << 28, fsync="group"), verdicts)
    _serve(folder, lambda config: Tollkeeper(config, node))


def feed() -> list[Any]:
    """Return an answer of the verdict feed: every consumer has one limit that counts down."""
    from tollkeeper_kong.feed import FeedFrame, FeedLimit, FeedSubject  # noqa: PLC0415

    def limit(number: int, state: str) -> FeedLimit:
        return FeedLimit(
            f"lim_{number}", "requests", "requests", state, limit="1000000000", used=str(number),
            resets_at="2036-12-01T00:00:00.000Z",
        )  # fmt: skip

    subjects = [
        FeedSubject(f"consumer:{number:08d}-9f0e-5d04-9a8e-0f1c1e0f5a11", "acme", [limit(number, "allow")])
        for number in range(CONSUMERS)
    ]
    subjects.append(FeedSubject(f"consumer:{ALLOWED}", "acme", [limit(CONSUMERS, "allow")]))
    subjects.append(FeedSubject(f"consumer:{DENIED}", "acme", [limit(CONSUMERS + 1, "deny")]))
    return [*subjects, FeedFrame("1", full=True, generated_at="2026-11-25T00:00:00.000Z")]


def _serve(folder: Path, build: Callable[[dict[str, Any]], Any]) -> None:
    from tollkeeper_kong.engine import Engine, Limits  # noqa: PLC0415
    from tollkeeper_kong.serve import SWITCH_SECONDS  # noqa: PLC0415
    from tollkeeper_kong.server import Server, ServerOptions  # noqa: PLC0415

    sys.setswitchinterval(float(os.environ.get("BENCH_SWITCH_SECONDS", SWITCH_SECONDS)))
    gc.freeze()
    limits = Limits(event_seconds=float(os.environ.get("BENCH_EVENT_SECONDS", "10")))
    Server(Engine({"bench": build}, limits=limits), ServerOptions(folder / SOCKET_NAME, drain_seconds=0)).serve()


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    runners: dict[str, Callable[[], None]] = {
        "limit": lambda: run_limit(folder),
        "ours": lambda: run_empty(folder),
        "empty": lambda: run_empty(folder),
        "whole": lambda: run_whole(folder),
        "stock-gevent": lambda: run_stock(folder, "-g"),
        "stock-threads": lambda: run_stock(folder),
    }
    runners[name]()


if __name__ == "__main__":
    main()
