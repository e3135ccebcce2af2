"""Run the tests' gateway: `python -m tests.gateway --config kong.yml --plugin tollkeeper=SOCKET`.

It speaks Kong's side of the plugin protocol for tests and the demo. It is no gateway for production: use Kong.
"""

import asyncio
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from tests.gateway.configuration import ConfigurationError, read_configuration
from tests.gateway.plugin_rpc import PluginServer
from tests.gateway.plugins import ExternalPlugin, PluginSet
from tests.gateway.proxy import Gateway


@click.command(help=__doc__)
@click.option("--config", type=click.Path(exists=True, path_type=Path), required=True, help="The declarative kong.yml.")
@click.option("--listen", default="127.0.0.1:8000", show_default=True, help="Address for clients; port 0 picks one.")
@click.option("--plugin-socket", help="The socket of the tollkeeper plugin server.")
@click.option("--plugin", "plugins", multiple=True, metavar="NAME=SOCKET", help="Another external plugin.")
@click.option("--plugin-query", help="Kong's query command: prints what the plugin server offers, as JSON.")
@click.option("--upstream", "upstreams", multiple=True, metavar="SERVICE=HOST:PORT", help="Send a service elsewhere.")
@click.option("--file-log", type=click.Path(path_type=Path), help="Where file-log writes, whatever the file says.")
@click.option("--workers", default=1, show_default=True, help="How many nginx workers to play.")
@click.option("--read-timeout", default=60.0, show_default=True, help="Seconds to wait for the plugin server.")
def main(**options: Any) -> None:
    """Read the options and serve until SIGTERM or SIGINT; SIGHUP is `kong reload`."""
    try:
        gateway = build_gateway(**{name: value for name, value in options.items() if name != "listen"})
    except ConfigurationError as error:
        raise click.ClickException(f"{options['config']}: {error}") from None
    host, _, port = options["listen"].rpartition(":")
    asyncio.run(_serve(gateway, host, int(port), options["config"]))


def build_gateway(
    *,
    config: Path,
    plugin_socket: str | None = None,
    plugins: Iterable[str] = (),
    plugin_query: str | None = None,
    upstreams: Iterable[str] = (),
    file_log: Path | None = None,
    workers: int = 1,
    read_timeout: float = 60.0,
) -> Gateway:
    """Build a gateway from the command's options."""
    configuration = read_configuration(config)
    sockets = dict(pair.split("=", 1) for pair in plugins)
    if plugin_socket:
        sockets["tollkeeper"] = plugin_socket
    offered = _query(plugin_query) if plugin_query else {}
    external = {name: _external(name, socket, offered.get(name)) for name, socket in sockets.items()}
    return Gateway(
        configuration,
        PluginSet(configuration, external, file_log),
        {name: PluginServer(name, one.socket, read_timeout=read_timeout) for name, one in external.items()},
        dict(pair.split("=", 1) for pair in upstreams),
        workers,
    )


def _query(command: str) -> dict[str, dict[str, Any]]:
    """Run the query command; Kong uses the first element alone."""
    printed = subprocess.run(shlex.split(command), check=True, capture_output=True, timeout=60).stdout
    first = json.loads(printed)[0]
    return {first["Name"]: first}


def _external(name: str, socket: str, offered: dict[str, Any] | None) -> ExternalPlugin:
    if offered is None:
        return ExternalPlugin(name, socket)
    fields: list[dict[str, Any]] = next(
        (f["config"].get("fields", []) for f in offered["Schema"]["fields"] if "config" in f), []
    )
    return ExternalPlugin(name, socket, int(offered["Priority"]), frozenset(offered["Phases"]), tuple(fields))


async def _serve(gateway: Gateway, host: str, port: int, config: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reloads: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive
    loop.add_signal_handler(
        signal.SIGHUP, lambda: reloads.add(loop.create_task(gateway.restart_workers(read_configuration(config))))
    )
    bound = await gateway.start(host, port)
    sys.stdout.write(f"the tests' gateway (not for production) listens on http://{host}:{bound}\n")
    sys.stdout.flush()
    await stop.wait()
    await gateway.stop()
    sys.stdout.write(json.dumps({"counters": dict(gateway.counters)}) + "\n")


if __name__ == "__main__":
    main()
