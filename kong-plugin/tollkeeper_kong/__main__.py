"""Start the plugin server that Kong talks to, and the commands beside it.

`python -m tollkeeper_kong` without a command takes kong-pdk's own flags: `--dump` for Kong's query command, and
`-p PREFIX --socket-name NAME` to serve.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from tollkeeper_kong.doctor import DoctorSettings, examine, examine_socket
from tollkeeper_kong.dump import dump
from tollkeeper_kong.follow import FollowOptions, run_follower
from tollkeeper_kong.log import configure_logs
from tollkeeper_kong.serve import serve
from tollkeeper_kong.settings import (
    backend_options,
    backend_settings,
    log_option,
    serve_options,
    serve_settings,
    socket_option,
    spool_options,
    spool_settings,
)
from tollkeeper_kong.shipper import ShipperOptions, run_shipper
from tollkeeper_kong.spool import Spool


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "--version", "-version", package_name="tollkeeper")
@click.option("--dump", "-dump", "dumps", is_flag=True, help="Print what Kong's query command needs.")
@click.option("-p", "--kong-prefix", "-kong-prefix", help="kong-pdk: serve on a socket in this folder.")
@click.option("--socket-name", default="tollkeeper.sock", show_default=True, help="kong-pdk: the socket's name there.")
@click.option("--listen-queue-size", default=4096, show_default=True, help="kong-pdk: the socket's backlog.")
@click.option("-v", "--verbose", count=True, help="kong-pdk: log at level debug.")
@click.option("-g", "--gevent", is_flag=True, help="kong-pdk: accepted; this server always uses gevent.")
@click.option("-m", "--multiprocessing", is_flag=True, help="kong-pdk: accepted and ignored.")
@click.option("--no-lua-style", is_flag=True, help="kong-pdk: accepted and ignored.")
@click.pass_context
def main(context: click.Context, /, **flags: Any) -> None:
    """Meter and limit what passes Kong: the Tollkeeper plugin server."""
    if context.invoked_subcommand is not None:
        return
    if flags["dumps"]:
        click.echo(dump())
        return
    arguments = ["--backlog", str(flags["listen_queue_size"])]
    if flags["kong_prefix"]:
        arguments += ["--socket", str(Path(flags["kong_prefix"]) / flags["socket_name"])]
    if flags["verbose"]:
        arguments += ["--log-level", "debug"]
    serve_command.main(arguments, prog_name=f"{context.info_name} serve")


@main.command("serve")
@serve_options
@backend_options
@spool_options
@log_option
def serve_command(**options: Any) -> None:
    """Answer Kong on a unix socket; keep the shipper running."""
    serve(serve_settings(options))


@main.command("ship")
@click.option("--follow", multiple=True, type=click.Path(path_type=Path), help="Also follow a file of Kong's file-log.")
@click.option("--parent", type=int, metavar="PID", help="End when this process is not the parent of this one.")
@click.option("--drain", is_flag=True, help="End when the spool is empty, or at the first failure.")
@backend_options
@spool_options
@log_option
def ship_command(follow: tuple[Path, ...], parent: int | None, drain: bool, **options: Any) -> None:  # noqa: FBT001 - click passes flags by name
    """Bring spooled records to the backend."""
    writer = configure_logs(options.pop("log_level"))
    backend, spool = backend_settings(options), spool_settings(options)
    counters = run_shipper(
        ShipperOptions(
            spool_dir=spool.directory,
            backend_url=backend.url,
            api_key=backend.key,
            node=backend.node,
            follow=follow,
            parent=parent,
            drains=drain,
        )
    )
    writer.close()
    if drain and counters.last_error:
        sys.exit(f"not everything is shipped: {counters.last_error}")


@main.command("follow")
@click.argument("file", type=click.Path(path_type=Path))
@backend_options
@spool_options
@log_option
def follow_command(file: Path, **options: Any) -> None:
    """Spool the requests that Kong's file-log plugin writes to FILE; `ship` brings them to the backend."""
    writer = configure_logs(options.pop("log_level"))
    backend, settings = backend_settings(options), spool_settings(options)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    spool = Spool(settings.directory, max_bytes=settings.max_bytes, fsync=settings.fsync)
    try:
        run_follower(FollowOptions(file, settings.directory, backend.node, stop=stop), spool)
    finally:
        spool.close()
        writer.close()


@main.command("doctor")
@click.option("--quick", is_flag=True, help="Only ask whether the plugin server answers: for health checks.")
@click.option("--kong-admin", help="The address of Kong's Admin API, to see whether Kong knows the plugin.")
@socket_option
@backend_options
@spool_options
def doctor_command(quick: bool, kong_admin: str | None, **options: Any) -> None:  # noqa: FBT001 - click passes flags by name
    """Look at everything between Kong and the backend, and say what to do."""
    settings = DoctorSettings(
        backend_settings(options), spool_settings(options), options["socket"], kong_admin, os.environ
    )
    findings = examine_socket(settings.socket_path) if quick else examine(settings)
    failures = 0
    for finding in findings:
        failures += finding.level == "failure"
        click.echo(f"{finding.level:8} {finding.subject}: {finding.text}")
        if finding.advice:
            click.echo(f"         -> {finding.advice}")
    if failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
