"""Kong's side of one phase, in memory: answers the PDK calls of a handler, and a node with real parts behind it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from tollkeeper_kong.feed import FeedFrame, FeedLimit, FeedScope, FeedSubject
from tollkeeper_kong.handler import Tollkeeper
from tollkeeper_kong.node import Node
from tollkeeper_kong.pdk import Steps
from tollkeeper_kong.segment_reader import SegmentReader
from tollkeeper_kong.segments import list_segments
from tollkeeper_kong.snapshot import SnapshotBuilder
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.verdicts import Verdicts

RECORDINGS = Path(__file__).parent.parent / "recordings/kong"
ALICE = "b32379d9-3d28-5683-a79c-72139be6e34f"
CONSUMER = {"id": ALICE, "username": "alice", "custom_id": "alice-42"}
ROUTE = {"id": "route-1", "name": "flights", "service": {"id": "service-1"}}
SERIALIZED = (RECORDINGS / "kong-serialize-keyauth.json").read_text()
KONG: Mapping[str, Any] = {
    "kong.client.get_consumer": CONSUMER,
    "kong.router.get_route": ROUTE,
    "kong.request.get_method": "GET",
    "kong.log.serialize": SERIALIZED,
}


@dataclass
class Run:
    """What a phase asked of Kong, as (method, arguments)."""

    calls: list[tuple[str, list[Any]]] = field(default_factory=list)

    @property
    def methods(self) -> list[str]:
        return [method.removeprefix("kong.") for method, _ in self.calls]

    @property
    def exit(self) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        """Status, body and headers, if the phase ended the request."""
        for method, arguments in self.calls:
            if method == "kong.response.exit":
                return arguments[0], json.loads(arguments[1]), arguments[2]
        return None


def run(steps: Steps, kong: Mapping[str, Any] = KONG) -> Run:
    """Answer a handler's calls until it ends."""
    seen = Run()
    answer: Any = None
    while True:
        try:
            call = steps.send(answer)
        except StopIteration:
            return seen
        packed = msgpack.unpackb(bytes(call.packed))
        seen.calls.append((packed["Method"], packed["Args"]))
        if call.ends_event:
            steps.close()
            return seen
        answer = kong.get(call.method)


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class TestNode:
    """A node with a real spool and real verdicts."""

    __test__ = False

    def __init__(self, folder: Path, *, max_bytes: int = 1 << 30) -> None:
        self.clock = Clock()
        self.folder = folder / "spool"
        self.verdicts = Verdicts(monotonic=self.clock)
        self.spool = Spool(self.folder, max_bytes=max_bytes, fsync="off")
        self.node = Node("node-7", self.spool, self.verdicts)

    def know(self, *subjects: FeedSubject) -> None:
        """Let a full answer of the verdict feed come in now."""
        frame = FeedFrame("1", full=True, generated_at="2026-11-22T07:30:00.000Z")
        self.verdicts.replace(SnapshotBuilder().apply([*subjects, frame], received_at=self.clock.seconds))

    def plugin(self, **config: Any) -> Tollkeeper:
        return Tollkeeper(config, self.node)

    def records(self) -> list[dict[str, Any]]:
        """Return what is in the spool; ends it."""
        self.spool.close()
        found: list[dict[str, Any]] = []
        for segment in list_segments(self.folder):
            with SegmentReader(segment) as reader:
                found += map(json.loads, reader.read(1000, 1 << 24))
        return found


def mapped(subject: str = f"consumer:{ALICE}", *limits: FeedLimit) -> FeedSubject:
    return FeedSubject(subject, "acme", list(limits))


def spent(**scope: tuple[str, ...]) -> FeedLimit:
    """A limit that denies."""
    return FeedLimit(
        "lim_1", "flights_ok", "requests", "deny", FeedScope(**scope), reason="1000 of 1000 used", limit="1000",
        used="1000", resets_at="2026-11-22T08:30:00.000Z",
    )  # fmt: skip
