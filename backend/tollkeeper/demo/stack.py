"""The demo's processes: backend, upstreams, plugin server, shipper, gateway, all on loopback."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tollkeeper.demo.processes import Processes, ReadyCheck, free_port, wait_until
from tollkeeper.errors import InvalidInput, Unavailable

START_SECONDS = 60.0
SERVICES = ("flights", "bookings", "destinations", "customer-service")


@dataclass(frozen=True)
class Addresses:
    """Where the processes listen."""

    backend: int
    gateway: int
    upstreams: int
    plugin_socket: Path

    @property
    def backend_url(self) -> str:
        """Return the backend's address for clients."""
        return f"http://127.0.0.1:{self.backend}"

    @property
    def gateway_url(self) -> str:
        """Return the gateway's address for clients."""
        return f"http://127.0.0.1:{self.gateway}"


class Stack:
    """Everything that runs in the demo; `folder` holds its database, spool and logs."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        self.source = source
        self.addresses = Addresses(free_port(8750), free_port(8000), free_port(), folder / "plugin.sock")
        self._environment = {
            "DATABASE_URL": f"sqlite:///{folder / 'tollkeeper.db'}",
            "TOLLKEEPER_DATA_DIR": str(folder),
            "TOLLKEEPER_PORT": str(self.addresses.backend),
            "TOLLKEEPER_TEST_CLOCK": "true",
            "TOLLKEEPER_LATE_EVENT_GRACE_SECONDS": "0",
            "TOLLKEEPER_STRIPE_STAND_IN": "false" if os.environ.get("STRIPE_API_KEY") else "true",
        }
        self.processes = Processes(folder, self._environment)

    def start_backend(self) -> None:
        """Start the backend and wait until it answers."""
        self.processes.start("backend", [_script("tollkeeper"), "serve"])
        self._wait("backend", ReadyCheck(("127.0.0.1", self.addresses.backend)))

    def start_gateway(self, token: str) -> None:
        """Start the upstreams, the plugin server, the shipper and the gateway, and wait until each answers."""
        key_file = self.folder / "gateway_key"
        key_file.touch(mode=0o600)
        key_file.write_text(token)
        records = self.folder / "records.json"
        upstreams = f"127.0.0.1:{self.addresses.upstreams}"
        self._start_module("upstreams", "tests.gateway.upstreams", "--listen", upstreams)
        environment = {
            "TOLLKEEPER_BACKEND_URL": self.addresses.backend_url,
            "TOLLKEEPER_API_KEY_FILE": str(key_file),
            "TOLLKEEPER_NODE": "demo-node",
            "TOLLKEEPER_SPOOL_DIR": str(self.folder / "spool"),
            "TOLLKEEPER_SOCKET": str(self.addresses.plugin_socket),
            "TOLLKEEPER_METRICS": "off",
            "TOLLKEEPER_FOLLOW": "",
        }
        kong = _script("tollkeeper-kong")
        self.processes.start("plugin-server", [kong, "serve", "--sidecar", "--no-shipper"], env=environment)
        self.processes.start("shipper", [kong, "ship", "--follow", str(records)], env=environment)
        self._wait("upstreams", ReadyCheck(("127.0.0.1", self.addresses.upstreams)))
        self._wait("plugin-server", ReadyCheck(self.addresses.plugin_socket))
        self._start_module(
            *("gateway", "tests.gateway", "--config", str(self.source / "kong.yml")),
            *("--listen", f"127.0.0.1:{self.addresses.gateway}", "--plugin-socket", str(self.addresses.plugin_socket)),
            *("--file-log", str(records), "--read-timeout", "2"),
            *(word for service in SERVICES for word in ("--upstream", f"{service}={upstreams}")),
        )
        self._wait("gateway", ReadyCheck(("127.0.0.1", self.addresses.gateway)))

    def command(self, *words: str) -> str:
        """Run a `tollkeeper` command against the demo's database, as an operator would; return what it prints."""
        done = subprocess.run(  # noqa: S603 - our own command
            [_script("tollkeeper"), *words],
            env={**os.environ, **self._environment},
            cwd=self.source,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(f"tollkeeper {' '.join(words[:2])}: {done.stderr.strip()}")
        return done.stdout

    def make_key(self, label: str, *scopes: str) -> str:
        """Make an API key and return its token."""
        options = [word for scope in scopes for word in ("--scope", scope)]
        return str(json.loads(self.command("keys", "create", label, *options, "--json"))["token"])

    def stop(self) -> None:
        """End every process."""
        self.processes.stop()

    def _start_module(self, name: str, module: str, *words: str) -> None:
        self.processes.start(name, [sys.executable, "-m", module, *words], env={"PYTHONPATH": str(self.source)})

    def _wait(self, name: str, ready: ReadyCheck) -> None:
        try:
            wait_until(ready, f"the {name} did not listen", seconds=START_SECONDS)
        except Unavailable as late:
            raise Unavailable(f"{late.message}; its last words:\n{self.processes.last_words(name)}") from None


def find_source() -> Path:
    """Return the checkout that holds kong.yml and the tests' gateway; raises InvalidInput where there is none."""
    for folder in (Path.cwd(), Path(__file__).parents[3]):
        if (folder / "kong.yml").is_file() and (folder / "tests/gateway/__main__.py").is_file():
            return folder
    raise InvalidInput("the demo needs kong.yml and the tests' gateway; run it in a checkout of the repository")


def _script(name: str) -> str:
    """Return a console script of the environment that we run in, whatever PATH says."""
    return str(Path(sys.executable).parent / name)
