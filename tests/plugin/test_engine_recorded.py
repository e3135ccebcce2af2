"""The engine answers the messages of a real Kong 3.9.1 byte for byte as kong-pdk did."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from tollkeeper_kong.engine import Engine
from tollkeeper_kong.pdk import Call, Steps

TRANSCRIPT = Path(__file__).parent.parent / "recordings/kong/rpc-transcript.txt"
HEX_LINE = re.compile(r"(K>P|P>K) (\d+) bytes hex=([0-9a-f]+)")
VALUE_LINE = re.compile(r"(K>P|P>K)   (\[.*\])$")


class RecordedPlugin:
    """What the plugin of the recording did."""

    def __init__(self, config: dict[str, object]) -> None:
        self.phases = {"access": self.access, "log": self.log}
        self.serialized: list[object] = []

    def failure_answer(self, phase: str) -> None:
        raise AssertionError(phase)

    def access(self) -> Steps:
        team = yield Call("kong.request.get_header", "x-team")
        assert team == "red"
        assert (yield Call("kong.service.request.set_header", "x-seen", "1")) is None

    def log(self) -> Steps:
        self.serialized.append((yield Call("kong.log.serialize")))


def messages() -> Iterator[tuple[str, bytes]]:
    """Yield each recorded message as its bytes; the long ones, cut in the hex, are packed again and compared."""
    way, length, cut = "", 0, ""
    for line in TRANSCRIPT.read_text().splitlines():
        if found := HEX_LINE.search(line):
            way, length, cut = found[1], int(found[2]), found[3]
        elif found := VALUE_LINE.search(line):
            raw = bytes.fromhex(cut)
            if len(raw) < length:
                again = msgpack.packb(ast.literal_eval(found[2]))
                assert again.startswith(raw)
                raw = again
            assert len(raw) == length
            yield way, raw


def with_our_ids(expected: bytes, reply: bytes) -> bytes:
    """Return the recorded answer with our ids and start time in it: they differ by design."""
    ours, recorded = msgpack.unpackb(reply)[3], msgpack.unpackb(expected)[3]
    for key in ("Id", "EventId"):
        if key in recorded:
            name = msgpack.packb(key)
            expected = expected.replace(name + msgpack.packb(recorded[key]), name + msgpack.packb(ours[key]))
    head, found, _ = expected.partition(b"StartTime")
    return head + found + reply[-9:] if found else head


def test_every_recorded_message_is_answered_byte_for_byte() -> None:
    plugin = RecordedPlugin({})
    engine = Engine({"two": lambda config: plugin})
    ids: dict[int, int] = {}  # recorded event id -> ours; -1 stands for the instance
    pairs = list(messages())
    assert [way for way, _ in pairs] == ["K>P", "P>K"] * 16
    for (_, asked), (_, expected) in zip(pairs[::2], pairs[1::2], strict=True):
        message = msgpack.unpackb(asked)
        argument = message[3][0]
        if "InstanceId" in argument:
            argument["InstanceId"] = ids[-1]
        if "EventId" in argument:
            argument["EventId"] = ids[argument["EventId"]]
        reply = engine.answer(message)
        result, recorded = msgpack.unpackb(reply)[3], msgpack.unpackb(expected)[3]
        ids[-1] = result.get("Id", ids.get(-1))
        if "EventId" in result:
            ids[recorded["EventId"]] = result["EventId"]
        assert reply == with_our_ids(expected, reply)
    assert len(plugin.serialized) == 3
    assert len(engine.waiting) == 0


@pytest.mark.parametrize(
    "method",
    [
        "Step",
        "StepConsumer",
        "StepCredential",
        "StepRoute",
        "StepService",
        "StepMultiMap",
        "StepMemoryStats",
        "StepPlugin",
    ],
)
def test_every_step_method_that_kong_or_kong_pdk_knows_moves_an_event_on(method: str) -> None:
    engine = Engine({"two": RecordedPlugin})
    started = msgpack.unpackb(engine.answer([0, 1, "plugin.StartInstance", [{"Name": "two", "Config": "{}"}]]))[3]
    event = msgpack.unpackb(
        engine.answer([0, 2, "plugin.HandleEvent", [{"InstanceId": started["Id"], "EventName": "access"}]])
    )[3]
    reply = msgpack.unpackb(engine.answer([0, 3, f"plugin.{method}", [{"EventId": event["EventId"], "Data": "red"}]]))
    assert reply[3]["Data"]["Method"] == "kong.service.request.set_header"
