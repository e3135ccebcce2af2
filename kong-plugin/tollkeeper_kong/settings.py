"""Settings of the plugin's processes: command-line options, each with an environment variable behind it.

Nginx strips the environment of a process that Kong starts, so every option can be given on the command line; only the
API key cannot, since anybody may read a command line: it comes from a file.
"""

import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import click

from tollkeeper_kong.backend_client import ApiKey, api_key_from

Fsync = Literal["group", "interval", "off"]
Command = TypeVar("Command", bound=Callable[..., Any])

LONGEST_NODE = 200
DEFAULT_SOCKET = "/usr/local/kong/tollkeeper.sock"
DEFAULT_SPOOL = "/var/spool/tollkeeper"
DEFAULT_BACKEND = "http://127.0.0.1:8750"
DEFAULT_METRICS = "127.0.0.1:9542"


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """Where usage goes and verdicts come from, and who we are."""

    url: str
    key: ApiKey
    node: str


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Where records wait, how many bytes of them, and how often they are synced to the disk."""

    directory: Path
    max_bytes: int
    fsync: Fsync


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """All of `tollkeeper-kong serve`."""

    backend: BackendSettings
    spool: SpoolSettings
    socket_path: Path
    socket_mode: int
    backlog: int
    sidecar: bool
    ship: bool
    follow: Path | None
    metrics: tuple[str, int] | None
    event_seconds: float
    drain_seconds: float
    log_level: str


class OctalMode(click.ParamType[int]):
    """File permissions as `chmod` takes them."""

    name = "mode"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the mode, or end with a message."""
        if isinstance(value, int):
            return value
        if not re.fullmatch(r"0?[0-7]{3}", value):
            self.fail(f"{value!r} is no file mode such as 0600", param, ctx)
        return int(value, 8)


class NodeName(click.ParamType[str]):
    """What may stand behind `kong/` in a record's source: the backend takes 256 characters at the most."""

    name = "node"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or end with a message."""
        if not 0 < len(value) <= LONGEST_NODE or not value.isprintable():
            self.fail(f"{value[:40]!r} is no name of 1 to {LONGEST_NODE} printable characters", param, ctx)
        return str(value)


class Address(click.ParamType[tuple[str, int] | None]):
    """`host:port`, or `off`."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int] | None:
        """Return host and port, or None for `off`."""
        if value is None or isinstance(value, tuple):
            return cast("tuple[str, int] | None", value)
        if value == "off":
            return None
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            self.fail(f"{value!r} is no host:port such as {DEFAULT_METRICS}, and not off", param, ctx)
        return host.strip("[]"), int(port)


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _option(name: str, envvar: str, help_text: str, **more: Any) -> Callable[[Command], Command]:
    more.setdefault("show_default", True)
    return click.option(name, envvar=envvar, show_envvar=True, help=help_text, **more)


backend_options = _all(
    _option("--backend-url", "TOLLKEEPER_BACKEND_URL", "Where Tollkeeper's backend is.", default=DEFAULT_BACKEND),
    _option(
        "--api-key-file",
        "TOLLKEEPER_API_KEY_FILE",
        "A file that holds the API key (scopes ingest and gateway). TOLLKEEPER_API_KEY may hold the key itself.",
        type=click.Path(path_type=Path),
    ),
    _option(
        "--node",
        "TOLLKEEPER_NODE",
        "The name of this gateway node in every record; by default the host's name.",
        type=NodeName(),
        default=socket.gethostname,
        show_default=False,
    ),
)

spool_options = _all(
    _option(
        "--spool-dir",
        "TOLLKEEPER_SPOOL_DIR",
        "Where records wait for the backend; on a disk that survives restarts.",
        type=click.Path(path_type=Path),
        default=DEFAULT_SPOOL,
    ),
    _option(
        "--spool-max-mib",
        "TOLLKEEPER_SPOOL_MAX_MIB",
        "How large the spool may grow; 1 MiB holds about 2,000 records.",
        type=click.IntRange(1),
        default=1024,
    ),
    _option(
        "--fsync",
        "TOLLKEEPER_FSYNC",
        "When records are synced to the disk: with each group, once a second, or when the system likes.",
        type=click.Choice(["group", "interval", "off"]),
        default="group",
    ),
)

log_option = _option(
    "--log-level",
    "TOLLKEEPER_LOG_LEVEL",
    "Least level that is logged.",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
)

socket_option = _option(
    "--socket",
    "TOLLKEEPER_SOCKET",
    "The unix socket that Kong connects to (KONG_PLUGINSERVER_TOLLKEEPER_SOCKET).",
    type=click.Path(path_type=Path),
    default=DEFAULT_SOCKET,
)

metrics_option = _option(
    "--metrics",
    "TOLLKEEPER_METRICS",
    "Where Prometheus finds the metrics, or off.",
    type=Address(),
    default=DEFAULT_METRICS,
)

serve_options = _all(
    socket_option,
    _option(
        "--socket-mode",
        "TOLLKEEPER_SOCKET_MODE",
        "Permissions of the socket. 0600: Kong's workers run as the same user as this server.",
        type=OctalMode(),
        default="0600",
    ),
    _option("--backlog", "TOLLKEEPER_BACKLOG", "Connections that may wait to be accepted.", type=int, default=4096),
    _option(
        "--sidecar",
        "TOLLKEEPER_SIDECAR",
        "Somebody else than Kong starts this server: do not end with the parent process, and run without a guard.",
        is_flag=True,
    ),
    _option(
        "--no-shipper",
        "TOLLKEEPER_NO_SHIPPER",
        "Start no shipper; `tollkeeper-kong ship` runs elsewhere.",
        is_flag=True,
    ),
    _option(
        "--follow",
        "TOLLKEEPER_FOLLOW",
        "Also follow a file that Kong's file-log plugin writes.",
        type=click.Path(path_type=Path),
    ),
    metrics_option,
    _option(
        "--event-seconds",
        "TOLLKEEPER_EVENT_SECONDS",
        "How long an event waits for Kong's next step before it counts as abandoned.",
        type=click.FloatRange(0.1),
        default=10.0,
    ),
    _option(
        "--drain-seconds",
        "TOLLKEEPER_DRAIN_SECONDS",
        "How long SIGTERM waits for events in flight.",
        type=click.FloatRange(0),
        default=5.0,
    ),
)


def backend_settings(options: dict[str, Any]) -> BackendSettings:
    """Take the backend's settings out of a command's options; the key's value comes from the environment only."""
    key = api_key_from(_text(options.pop("api_key_file")), os.environ.get("TOLLKEEPER_API_KEY"))
    return BackendSettings(options.pop("backend_url"), key, options.pop("node"))


def spool_settings(options: dict[str, Any]) -> SpoolSettings:
    """Take the spool's settings out of a command's options."""
    return SpoolSettings(
        options.pop("spool_dir"), options.pop("spool_max_mib") * 1024 * 1024, cast("Fsync", options.pop("fsync"))
    )


def serve_settings(options: dict[str, Any]) -> ServeSettings:
    """Build the settings of `serve` from its options."""
    backend, spool = backend_settings(options), spool_settings(options)
    return ServeSettings(
        backend=backend,
        spool=spool,
        socket_path=options.pop("socket"),
        ship=not options.pop("no_shipper"),
        **options,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
