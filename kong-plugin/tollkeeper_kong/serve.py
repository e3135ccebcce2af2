"""Put the plugin server together: settings, spool, verdicts, engine, socket, and the shipper beside it."""

import os
import sys

import structlog

from tollkeeper_kong.engine import Engine, Limits, whereabouts
from tollkeeper_kong.handler import Node, Tollkeeper
from tollkeeper_kong.log import configure_logs
from tollkeeper_kong.schema import NAME
from tollkeeper_kong.server import Server, ServerOptions
from tollkeeper_kong.settings import ServeSettings
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.supervise import Child, ChildCommand

SPOOL_CLOSE_SECONDS = 10.0

log = structlog.get_logger()


def serve(settings: ServeSettings) -> None:
    """Answer Kong until told to end; then let events end and put what was accepted on the disk."""
    writer = configure_logs(settings.log_level)
    spool = Spool(settings.spool.directory, max_bytes=settings.spool.max_bytes, fsync=settings.spool.fsync)
    node = Node(settings.backend.node, spool)
    engine = Engine(
        {NAME: lambda config: Tollkeeper(config, node)},
        limits=Limits(event_seconds=settings.event_seconds),
        on_failure=tell_failure,
    )
    server = Server(engine, server_options(settings))
    shipper = Child(shipper_command(settings)) if settings.ship else None
    try:
        server.serve(started=lambda: log.info("serving", socket=str(settings.socket_path), pid=os.getpid()))
    finally:
        log.info("ending", reason=server.stop_reason)
        if not spool.close(SPOOL_CLOSE_SECONDS):
            log.error("spool_not_flushed", dropped=spool.counters.dropped)
        if shipper:
            shipper.stop()
        writer.close()


def server_options(settings: ServeSettings) -> ServerOptions:
    """Return how the server listens and ends."""
    return ServerOptions(
        settings.socket_path,
        socket_mode=settings.socket_mode,
        backlog=settings.backlog,
        half_message_seconds=settings.event_seconds,
        drain_seconds=settings.drain_seconds,
        ends_with_parent=not settings.sidecar,
    )


def shipper_command(settings: ServeSettings) -> ChildCommand:
    """Return the command line of the shipper; the key's value, if there is no file, goes by the environment."""
    arguments = [
        *(sys.executable, "-m", "tollkeeper_kong", "ship", "--exits-with-parent"),
        *("--backend-url", settings.backend.url, "--node", settings.backend.node),
        *("--spool-dir", str(settings.spool.directory), "--fsync", settings.spool.fsync),
        *("--spool-max-mib", str(settings.spool.max_bytes // 1024**2), "--log-level", settings.log_level),
    ]
    key, environment = settings.backend.key, dict(os.environ)
    if key.path:
        arguments += ["--api-key-file", str(key.path)]
    elif key.value:
        environment["TOLLKEEPER_API_KEY"] = key.value
    if settings.follow:
        arguments += ["--follow", str(settings.follow)]
    return ChildCommand("shipper", arguments, environment)


def tell_failure(where: str, error: BaseException) -> None:
    """Log a handler's failure, without its text: it may quote a request."""
    log.error("handler_failed", where=where, error=whereabouts(error))
