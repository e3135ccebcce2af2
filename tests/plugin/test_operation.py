"""Instances, waiting events, logs, metrics, the log gap, settings and the supervised child."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import msgpack
import prometheus_client
import pytest
import requests
import structlog
from click.testing import CliRunner
from structlog.testing import capture_logs

from tests.plugin.phases import SERIALIZED, TestNode, mapped, run, spent
from tests.plugin.rpc_client import ROOT
from tests.waiting import PATIENCE_SECONDS, wait_until
from tollkeeper_kong import __main__ as commands
from tollkeeper_kong.backend_client import ApiKey
from tollkeeper_kong.engine import Engine, Limits, Malformed
from tollkeeper_kong.exporter import MetricsServer, PluginCollector, Sources
from tollkeeper_kong.instances import Instances, UnknownInstance, first_id
from tollkeeper_kong.log import QueuedWriter, RateLimit, configure_logs
from tollkeeper_kong.log_gap import LogGap
from tollkeeper_kong.pdk import Call, Steps
from tollkeeper_kong.server import Server, ServerOptions
from tollkeeper_kong.settings import ServeSettings, serve_settings
from tollkeeper_kong.supervise import Child, ChildCommand
from tollkeeper_kong.sync import SyncOptions, VerdictSync


class Asking:
    """A plugin that asks once."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.phases = {"access": self.access}
        self.closed: list[str] = []

    def access(self) -> Steps:
        try:
            yield Call("kong.client.get_consumer")
        finally:
            self.closed.append("access")

    def failure_answer(self, phase: str) -> None:
        return None


# Ids


def test_ids_of_two_starts_never_meet_and_fit_into_lua_s_numbers() -> None:
    first = first_id(seconds=1_795_331_824, pid=100)
    assert first_id(seconds=1_795_331_825, pid=100) - first == 2**22
    assert abs(first_id(seconds=1_795_331_824, pid=101) - first) > 10_000
    assert first_id(seconds=3_700_000_000, pid=4_194_304) < 2**53


def test_the_least_recently_used_instance_makes_room() -> None:
    instances = Instances(most=2)
    first, second = (instances.start("a", {}, Asking({}), now) for now in (1.0, 2.0))
    first.last_used = 3.0
    instances.start("a", {}, Asking({}), 4.0)
    assert instances.get(first.instance_id) is first
    with pytest.raises(UnknownInstance, match=f"no plugin instance #{second.instance_id}"):
        instances.get(second.instance_id)


# Events


def engine_with_event(**limits: Any) -> tuple[Engine, Asking, int]:
    plugin = Asking({})
    engine = Engine({"asking": lambda config: plugin}, limits=Limits(**limits))
    started = engine.answer([0, 1, "plugin.StartInstance", [{"Name": "asking", "Config": "{}"}]])
    return engine, plugin, msgpack.unpackb(started)[3]["Id"]


def handle(engine: Engine, instance: int) -> int:
    reply = engine.answer([0, 2, "plugin.HandleEvent", [{"InstanceId": instance, "EventName": "access"}]])
    return int(msgpack.unpackb(reply)[3]["EventId"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The engine's clock, which stands at its one number."""
    now = [100.0]
    monkeypatch.setattr("tollkeeper_kong.engine._clock", lambda: now[0])
    return now


def test_an_abandoned_event_is_closed_so_that_its_handler_can_clean_up(clock: list[float]) -> None:
    engine, plugin, instance = engine_with_event(event_seconds=10, sweep_seconds=0.0)
    handle(engine, instance)
    clock[0] += 9.9
    engine.sweep()
    assert len(engine.waiting) == 1
    clock[0] += 0.2
    engine.sweep()
    assert (len(engine.waiting), plugin.closed, engine.counters.expired) == (0, ["access"], 1)


def test_an_event_never_ends_before_its_time_however_late_in_a_turn_it_began(clock: list[float]) -> None:
    engine, plugin, instance = engine_with_event(event_seconds=10, sweep_seconds=1)
    clock[0] += 0.9
    handle(engine, instance)
    clock[0] += 9.9
    engine.sweep()
    assert (len(engine.waiting), plugin.closed) == (1, [])
    clock[0] += 1.1
    engine.sweep()
    assert len(engine.waiting) == 0


def test_the_oldest_event_makes_room_and_is_counted() -> None:
    engine, plugin, instance = engine_with_event(waiting_events=2)
    events = [handle(engine, instance) for _ in range(3)]
    assert list(engine.waiting.by_id) == events[1:]
    assert (engine.waiting.crowded_out, plugin.closed) == (1, ["access"])


@pytest.mark.parametrize(
    "message",
    [None, [], [0, 1, "plugin.Step"], [1, 1, "plugin.Step", []], [0, "1", "plugin.Step", []],
     [0, -1, "plugin.Step", []], [0, 1, "plugin.Step", {}], {0: 1, 1: 2, 2: 3, 3: 4},
     [0, 2**64, "plugin.Step", []], b"[0,1,2,3]"],
)  # fmt: skip
def test_what_is_no_request_is_malformed(message: object) -> None:
    with pytest.raises(Malformed):
        Engine({}).answer(message)


@pytest.mark.parametrize(
    ("method", "argument", "error"),
    [
        ("plugin.Nothing", None, "RPC for plugin.Nothing is not supported"),
        ("kong.log", None, "RPC for kong.log is not supported"),
        ("plugin.__init__", None, "RPC for plugin.__init__ is not supported"),
        ("plugin.Step", {"EventId": 5}, "event id 5 not found"),
        ("plugin.Step", {}, "event id None not found"),
        ("plugin.Step", {"EventId": [1]}, "the argument is not what this method takes"),
        ("plugin.HandleEvent", {"InstanceId": 5, "EventName": "access"}, "no plugin instance #5"),
        ("plugin.HandleEvent", [], "the argument is not what this method takes"),
        ("plugin.CloseInstance", 5, "no plugin instance #5"),
        ("plugin.CloseInstance", {}, "no plugin instance #{}"),
        ("plugin.StartInstance", {"Name": "asking", "Config": "{"}, "cannot start an instance: JSONDecodeError"),
        ("plugin.StartInstance", {"Name": "another", "Config": "{}"}, "cannot start an instance: KeyError"),
        ("plugin.StartInstance", {"Name": "asking", "Config": "[]"}, "Config is not an object"),
        ("plugin.StartInstance", {"Name": "asking", "Config": '{"a": 99999999999999999999999}'}, "MessagePack cannot"),
    ],
)
def test_a_wrong_call_is_answered_with_an_error_that_says_what_is_wrong(
    method: str, argument: object, error: str
) -> None:
    engine = Engine({"asking": Asking})
    kind, number, told, result = msgpack.unpackb(engine.answer([0, 9, method, [argument]]))
    assert (kind, number, result) == (1, 9, None)
    assert error in told
    assert not engine.instances.by_id


def test_a_plugin_that_cannot_be_built_is_an_error_and_is_told() -> None:
    told: list[str] = []

    def build(config: dict[str, Any]) -> Asking:
        raise ValueError("secret")

    engine = Engine({"bad": build}, on_failure=lambda where, error: told.append(where))
    reply = msgpack.unpackb(engine.answer([0, 1, "plugin.StartInstance", [{"Name": "bad", "Config": "{}"}]]))
    assert reply[2] == "cannot start an instance of bad: ValueError"
    assert told == ["start"]


# What Kong lost


def test_log_events_that_never_came_are_counted_after_a_while() -> None:
    gap = LogGap(grace_seconds=60)
    gap.sample(0, 100)
    assert gap.missing(logged=90, logged_after_access=85) == (0, 0), "they may still come"
    gap.sample(60, 250)
    assert gap.missing(logged=90, logged_after_access=85) == (10, 15)
    assert gap.missing(logged=120, logged_after_access=100) == (0, 0)


# Logs


def test_a_line_that_repeats_is_limited_and_then_says_how_many_were_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("tollkeeper_kong.log.time.monotonic", lambda: now[0])
    limit = RateLimit(lines=2, seconds=10)
    passed = []
    for _ in range(2):
        for _ in range(5):
            try:
                passed.append(limit(None, "error", {"event": "handler_failed"}))
            except structlog.DropEvent:
                continue
        now[0] += 10
    assert passed[:2] == [{"event": "handler_failed"}] * 2
    assert passed[2:] == [{"event": "handler_failed", "suppressed": 3}, {"event": "handler_failed"}]


@pytest.fixture
def _logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logs")
def test_logs_are_json_lines_from_the_configured_level_on() -> None:
    stream = io.StringIO()
    writer = configure_logs("warning", stream)
    logger = structlog.get_logger()
    logger.info("not this")
    logger.error("spool_full", records=7)
    writer.close()
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert (line["event"], line["level"], line["records"]) == ("spool_full", "error", 7)


class Stuck(io.StringIO):
    """A pipe that nobody reads, for now."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = threading.Event()

    def write(self, text: str) -> int:
        self.is_read.wait()
        return super().write(text)


def test_a_pipe_that_nobody_reads_never_keeps_the_server_waiting() -> None:
    """It would wait for ever."""
    pipe = Stuck()
    writer = QueuedWriter(pipe)
    for _ in range(2000):
        writer.msg("line")
    assert writer.dropped in {999, 1000}, "a thousand are queued; one more if the thread has taken one already"
    pipe.is_read.set()
    writer.close(PATIENCE_SECONDS)
    assert pipe.getvalue().count("line") == 2000 - writer.dropped


# Metrics


def test_prometheus_sees_decisions_records_and_durations(tmp_path: Path) -> None:
    node = TestNode(tmp_path)
    node.know(mapped("consumer:b32379d9-3d28-5683-a79c-72139be6e34f", spent()))
    plugin = node.plugin()
    engine = Engine({"tollkeeper": lambda config: plugin})
    started = msgpack.unpackb(engine.answer([0, 1, "plugin.StartInstance", [{"Name": "tollkeeper", "Config": "{}"}]]))
    event = {"InstanceId": started[3]["Id"], "EventName": "log"}
    asked = msgpack.unpackb(engine.answer([0, 2, "plugin.HandleEvent", [event]]))[3]
    engine.answer([0, 3, "plugin.Step", [{"EventId": asked["EventId"], "Data": SERIALIZED}]])
    run(plugin.access())
    sync = VerdictSync(node.verdicts, SyncOptions("http://127.0.0.1:1", ApiKey(), tmp_path))
    server = Server(engine, ServerOptions(tmp_path / "s"))
    metrics = MetricsServer(("127.0.0.1", 0), PluginCollector(Sources(engine, server, node.node, LogGap(), sync)))
    try:
        assert wait_until(lambda: metrics.port)
        text = requests.get(f"http://127.0.0.1:{metrics.port}/metrics", timeout=PATIENCE_SECONDS).text
    finally:
        metrics.stop()
        node.spool.close()
    lines = set(text.splitlines())
    page = (ROOT / "docs/plugin.md").read_text()
    names = {line.split()[2] for line in lines if line.startswith("# TYPE tollkeeper_")}
    assert len(names) > 25
    assert [name for name in sorted(names) if f"`{name}" not in page] == [], "each metric is documented"
    assert 'tollkeeper_events_total{phase="log"} 1.0' in lines
    assert 'tollkeeper_refused_total{code="quota_exhausted"} 1.0' in lines
    assert "tollkeeper_records_total 1.0" in lines
    assert 'tollkeeper_event_seconds_bucket{le="+Inf",phase="log"} 1.0' in lines
    assert "tollkeeper_verdict_subjects 1.0" in lines


def test_a_taken_metrics_port_is_waited_for(tmp_path: Path) -> None:
    registry = prometheus_client.CollectorRegistry()
    first = MetricsServer(("127.0.0.1", 0), prometheus_client.ProcessCollector(registry=None))
    assert wait_until(lambda: first.port)
    port = first.port
    assert port
    second = MetricsServer(("127.0.0.1", port), prometheus_client.ProcessCollector(registry=None), retry_seconds=0.05)
    time.sleep(0.1)
    assert second.port is None
    first.stop()
    assert wait_until(lambda: second.port == port)
    second.stop()
    assert registry


# The child


def until(condition: Callable[[], object]) -> None:
    """Let greenlets run until the condition is true."""
    with gevent.Timeout(PATIENCE_SECONDS):
        while not condition():
            gevent.sleep(0.01)


def test_a_child_that_keeps_ending_is_started_ever_more_slowly_and_never_given_up() -> None:
    began = time.monotonic()
    child = Child(ChildCommand("ends", ["/bin/false"], {}), first_delay_seconds=0.05, last_delay_seconds=0.2)
    until(lambda: child.starts >= 5)
    child.stop()
    assert time.monotonic() - began >= 0.05 + 0.1 + 0.2 + 0.2


def test_a_child_that_cannot_be_started_is_tried_again() -> None:
    with capture_logs() as logs:
        child = Child(ChildCommand("none", ["/does/not/exist"], {}), first_delay_seconds=0.05)
        until(lambda: len(logs) >= 3)
        child.stop()
    assert {line["event"] for line in logs} == {"child_ended"}
    assert (child.starts, child.pid) == (0, None)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    up = tmp_path / "up"
    child = Child(ChildCommand("stubborn", ["/bin/sh", "-c", f"trap '' TERM; : > '{up}'; exec sleep 60"], {}))
    until(up.exists)
    pid = child.pid
    assert pid
    with capture_logs() as logs:
        child.stop(seconds=0.3)
    assert [(line["event"], line["pid"]) for line in logs] == [("child_killed", pid)]
    assert child.pid is None


# Settings


@pytest.mark.parametrize("node", ["", "n" * 201, "two\nlines", "\x00"])
def test_a_name_that_the_backend_would_refuse_in_every_record_is_refused_at_the_start(node: str) -> None:
    result = CliRunner().invoke(commands.main, ["serve", "--node", node])
    assert result.exit_code == 2
    assert "1 to 200 printable characters" in result.output


def parsed(arguments: list[str], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ServeSettings:
    seen: list[ServeSettings] = []
    monkeypatch.setattr(commands, "serve", seen.append)
    result = CliRunner(env=environment).invoke(commands.main, arguments)
    assert result.exit_code == 0, result.output
    return seen[0]


def test_settings_come_from_the_command_line_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        "TOLLKEEPER_BACKEND_URL": "http://a", "TOLLKEEPER_NODE": "env", "TOLLKEEPER_API_KEY": "tk_value",
        "TOLLKEEPER_METRICS": "off", "TOLLKEEPER_SPOOL_MAX_MIB": "2",
    }  # fmt: skip
    settings = parsed(["serve", "--node", "line", "--socket-mode", "0660"], environment, monkeypatch)
    assert (settings.backend.node, settings.backend.url) == ("line", "http://a")
    assert (settings.metrics, settings.socket_mode, settings.spool.max_bytes) == (None, 0o660, 2 * 1024**2)
    assert settings.backend.key.read() == "tk_value"
    assert "tk_value" not in repr(settings)


def test_kong_pdk_s_flags_serve_on_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = parsed(["-p", "/tmp/kong", "--socket-name", "x.sock", "-v", "-g"], {}, monkeypatch)
    assert settings.socket_path == Path("/tmp/kong/x.sock")
    assert settings.log_level == "debug"
    assert not settings.sidecar


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--socket-mode", "999"], "no file mode such as 0600"), (["--metrics", "9542"], "no host:port such as")],
)
def test_a_wrong_setting_is_refused_with_the_form_that_is_right(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(commands.main, ["serve", *arguments])
    assert result.exit_code == 2
    assert text in result.output


def test_every_option_of_serve_is_a_setting() -> None:
    options = {option.name: None for option in commands.serve_command.params if option.name != "help"}
    values = options | {"spool_max_mib": 1, "no_shipper": False}
    assert isinstance(serve_settings(values), ServeSettings)
