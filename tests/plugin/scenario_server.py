"""The same misbehaving plugin on two servers: `ours` (engine.py) and `stock` (kong-pdk's own), in a process of its own.

    python tests/plugin/scenario_server.py ours|stock [kong-pdk's flags] -p FOLDER

An instance's config names in `access` and `log` what its phases do; ENDED_FILE in the environment names a file that a
clean end writes.
"""

import atexit
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import gevent.event
from kong_pdk.cli import start_dedicated_server
from kong_pdk.server import PluginServer

from tollkeeper_kong.engine import Engine, Limits
from tollkeeper_kong.pdk import Call, Steps, response_exit
from tollkeeper_kong.server import Server, ServerOptions

ECHO = "kong.request.get_header"
BIG = "x" * (8 << 20)
RELEASED = gevent.event.Event()


def note_the_end() -> None:
    if "ENDED_FILE" in os.environ:
        Path(os.environ["ENDED_FILE"]).write_text("flushed")


class StockPlugin:
    """The scenarios as a plugin author writes them for kong-pdk."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        if config.get("unpicklable"):
            self.lock = threading.Lock()

    def access(self, kong: Any) -> None:
        getattr(self, self.config.get("access", "nothing"))(kong)

    def log(self, kong: Any) -> None:
        getattr(self, self.config.get("log", "nothing"))(kong)

    def nothing(self, kong: Any) -> None:
        pass

    def raise_at_once(self, kong: Any) -> None:
        raise ValueError("at once")

    def raise_later(self, kong: Any) -> None:
        kong.request.get_header("x")
        raise ValueError("later")

    def exit(self, kong: Any) -> None:
        kong.response.exit(429, "no", {"x": "y"})

    def ask(self, kong: Any) -> None:
        kong.request.get_header("x")

    def ask_and_echo(self, kong: Any) -> None:
        kong.service.request.set_header("x", kong.request.get_header("x"))

    def wait_first(self, kong: Any) -> None:
        gevent.sleep(60)
        kong.request.get_header("x")

    def send_much(self, kong: Any) -> None:
        kong.request.get_header(BIG)

    def say_name(self, kong: Any) -> None:
        kong.request.get_header(self.config["name"])


class OurPlugin:
    """The scenarios as generators."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.phases: dict[str, Callable[[], Steps]] = {
            phase: getattr(self, config.get(phase, "nothing")) for phase in ("access", "log")
        }
        if config.get("unpicklable"):
            self.lock = threading.Lock()

    def failure_answer(self, phase: str) -> Call | None:
        if self.config.get("fault_tolerant", True) or phase == "log":
            return None
        return response_exit(500, "{}", {})

    def nothing(self) -> Steps:
        return
        yield

    def raise_at_once(self) -> Steps:
        raise ValueError("at once")
        yield

    def raise_later(self) -> Steps:
        yield Call(ECHO, "x")
        raise ValueError("later")

    def exit(self) -> Steps:
        yield response_exit(429, "no", {"x": "y"})

    def ask(self) -> Steps:
        yield Call(ECHO, "x")

    def ask_and_echo(self) -> Steps:
        value = yield Call(ECHO, "x")
        yield Call("kong.service.request.set_header", "x", value)

    def wait_for_release(self) -> Steps:
        RELEASED.wait()
        yield Call(ECHO, "x")

    def release(self) -> Steps:
        RELEASED.set()
        return
        yield

    def send_much(self) -> Steps:
        yield Call(ECHO, BIG)

    def say_name(self) -> Steps:
        yield Call(ECHO, self.config["name"])


def run_stock() -> None:
    atexit.register(note_the_end)
    PluginServer.count_events = lambda self: len(self.events)  # asked for by the RPC plugin.CountEvents
    start_dedicated_server("scenario", StockPlugin, "1.0.0", 0, [])


def run_ours(folder: Path) -> None:
    limits = Limits(
        waiting_events=int(os.environ.get("WAITING_EVENTS", "1000")),
        event_seconds=float(os.environ.get("EVENT_SECONDS", "10")),
        sweep_seconds=0.2,
    )
    options = ServerOptions(
        folder / "scenario.sock",
        parent=os.getppid() if "ENDS_WITH_PARENT" in os.environ else None,
        half_message_seconds=float(os.environ.get("HALF_MESSAGE_SECONDS", "10")),
    )
    engine = Engine({"scenario": OurPlugin}, limits=limits)
    Server(engine, options).serve()
    note_the_end()


if __name__ == "__main__":
    which = sys.argv.pop(1)
    run_stock() if which == "stock" else run_ours(Path(sys.argv[sys.argv.index("-p") + 1]))
