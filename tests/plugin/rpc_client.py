"""Kong's side of the plugin RPC, one blocking socket with a time limit; and servers in processes of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgpack

from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parent.parent.parent
SCENARIOS = Path(__file__).parent / "scenario_server.py"


class Rpc:
    """One connection of Kong's pool."""

    def __init__(self, path: Path, *, timeout: float = PATIENCE_SECONDS) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._unpacker = msgpack.Unpacker(unicode_errors="surrogateescape")
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, method: str, *arguments: object) -> None:
        self._last_id += 1
        packed = msgpack.packb([0, self._last_id, f"plugin.{method}", arguments], unicode_errors="surrogateescape")
        self.socket.sendall(packed)

    def receive(self) -> list[Any]:
        """Return the next reply; raises TimeoutError when none comes and EOFError when the server hangs up."""
        while True:
            for reply in self._unpacker:
                return list(reply)
            received = self.socket.recv(1 << 20)
            if not received:
                raise EOFError
            self._unpacker.feed(received)

    def call(self, method: str, *arguments: object) -> Any:
        """Return the result, or raise RuntimeError with the server's error text."""
        self.send(method, *arguments)
        _kind, message_id, error, result = self.receive()
        assert message_id == self._last_id
        if error is not None:
            raise RuntimeError(error)
        return result

    def start(self, **config: object) -> int:
        """Start an instance of the scenario plugin and return its id."""
        return int(self.call("StartInstance", {"Name": "scenario", "Config": json.dumps(config)})["Id"])

    def event(self, instance: int, phase: str = "access") -> Any:
        return self.call("HandleEvent", {"InstanceId": instance, "EventName": phase})

    def step(self, event: int, data: object = None) -> Any:
        return self.call("Step", {"EventId": event, "Data": data})


class ServerProcess:
    """A plugin server in its own process, on its own socket."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.socket_path = folder / "scenario.sock"
        self.output = (folder / "output.txt").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, str(SCENARIOS), *arguments, "-p", str(folder)],
            stdout=self.output,
            stderr=self.output,
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore"} | (environment or {}),
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def connect(self, *, timeout: float = PATIENCE_SECONDS) -> Rpc:
        """Connect, waiting for the server to be up; raises RuntimeError if it has ended instead."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return Rpc(self.socket_path, timeout=timeout)
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(Path(self.output.name).read_text()) from None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = PATIENCE_SECONDS) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.output.close()


def connect(path: Path, *, timeout: float = PATIENCE_SECONDS, within: float = PATIENCE_SECONDS) -> Rpc:
    """Connect, waiting for the server to be up."""
    deadline = time.monotonic() + within
    while True:
        try:
            return Rpc(path, timeout=timeout)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextmanager
def server(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[ServerProcess]:
    """Run a server for the length of a block. Arguments: `ours`, or `stock` with kong-pdk's flags."""
    process = ServerProcess(folder, *arguments, environment=environment)
    try:
        process.connect().socket.close()
        yield process
    finally:
        process.close()


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
