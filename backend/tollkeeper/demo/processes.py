"""Start the demo's processes, start again those that die, and end them all."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tollkeeper.errors import Unavailable

RESTARTS_AT_MOST = 20
POLL_SECONDS = 0.05
STOP_SECONDS = 15.0


@dataclass
class Child:
    """A command that is kept running until it is stopped."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)
    restarts: int = 0

    def start(self) -> None:
        """Start the command; what it prints goes to its log file."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - the demo's own commands
                self.argv, env=self.env, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
            )


class Processes:
    """Supervise children; a child that dies is started again, at most RESTARTS_AT_MOST times.

    `processes.json` in the folder holds the process ids of the moment, for those who want to kill one.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self._env = {**os.environ, **env}
        self._children: dict[str, Child] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="demo-watcher", daemon=True)
        self._watcher.start()

    def start(self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Start a child under a name that is not taken yet."""
        child = Child(name, argv, {**self._env, **(env or {})}, self.folder / f"{name}.log")
        with self._lock:
            child.start()
            self._children[name] = child
            self._write_pids()

    def stop(self, *names: str) -> None:
        """End children by SIGTERM, by SIGKILL if they take longer than STOP_SECONDS; without names end all."""
        if not names:
            self._stopping.set()
            self._watcher.join()
        with self._lock:
            leaving = [self._children.pop(name) for name in (names or tuple(reversed(self._children)))]
            self._write_pids()
        for child in leaving:
            _end(child.process)

    def restarts(self) -> dict[str, int]:
        """Return how often each child was started again."""
        with self._lock:
            return {name: child.restarts for name, child in self._children.items() if child.restarts}

    def last_words(self, name: str, lines: int = 12) -> str:
        """Return the end of a child's log, for an error message."""
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            with self._lock:
                for child in self._children.values():
                    self._revive(child)

    def _revive(self, child: Child) -> None:
        if child.process.poll() is None or child.restarts >= RESTARTS_AT_MOST:
            return
        child.restarts += 1
        child.start()
        self._write_pids()

    def _write_pids(self) -> None:
        pids = {name: child.process.pid for name, child in self._children.items()}
        partial = self.folder / "processes.json.part"
        partial.write_text(json.dumps(pids))
        partial.replace(self.folder / "processes.json")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    # The child is the leader of its own session: what it left behind goes with it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)


def free_port(preferred: int = 0) -> int:
    """Return the preferred loopback port if nobody listens there, else one that is free.

    It is below those that systems give to whoever asks for any: nobody takes it while its process starts.
    """
    for port in (preferred or _any_port(), *(_any_port() for _ in range(100))):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Unavailable("no loopback port is free")


def wait_until(ready: "ReadyCheck", what: str, *, seconds: float) -> None:
    """Ask `ready` until it says yes; raises Unavailable naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.1)
    raise Unavailable(f"{what} within {seconds:.0f} s")


class ReadyCheck:
    """Say whether a TCP port or a unix socket accepts connections."""

    def __init__(self, address: tuple[str, int] | Path) -> None:
        self._address = address

    def __call__(self) -> bool:
        """Try to connect once."""
        family = socket.AF_UNIX if isinstance(self._address, Path) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._address) if isinstance(self._address, Path) else self._address)
            except OSError:
                return False
        return True


def _any_port() -> int:
    return random.randrange(20_000, 32_000)  # noqa: S311 - it has to be free, not secret
