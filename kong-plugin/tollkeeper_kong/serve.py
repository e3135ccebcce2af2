"""Put the plugin server together: settings, spool, verdicts, engine, socket, and the shipper beside it."""

import gc
import os
import sys
from contextlib import ExitStack

import structlog

from tollkeeper_kong.engine import Engine, Limits, whereabouts
from tollkeeper_kong.exporter import MetricsServer, PluginCollector, Sources
from tollkeeper_kong.guard import stand_guard
from tollkeeper_kong.handler import Tollkeeper
from tollkeeper_kong.heartbeat import HandlerState, Heartbeat, HeartbeatOptions
from tollkeeper_kong.instances import Config
from tollkeeper_kong.log import configure_logs
from tollkeeper_kong.log_gap import LogGap
from tollkeeper_kong.node import Node
from tollkeeper_kong.schema import NAME
from tollkeeper_kong.server import Server, ServerOptions
from tollkeeper_kong.settings import ServeSettings
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.supervise import Child, ChildCommand
from tollkeeper_kong.sync import SyncOptions, VerdictSync
from tollkeeper_kong.verdicts import Verdicts

SPOOL_CLOSE_SECONDS = 10.0
SWITCH_SECONDS = 0.000_5  # how long another thread may keep the interpreter from the one that answers Kong

log = structlog.get_logger()


def serve(settings: ServeSettings) -> None:
    """Answer Kong until told to end; then let events end and put what was accepted on the disk."""
    backend = settings.backend
    parent = None if settings.sidecar else stand_guard()
    with ExitStack() as stack:
        stack.callback(configure_logs(settings.log_level).close)
        spool = Spool(settings.spool.directory, max_bytes=settings.spool.max_bytes, fsync=settings.spool.fsync)
        node = Node(backend.node, spool, Verdicts())
        engine = build_engine(node, settings)
        gap = LogGap()
        server = Server(
            engine,
            server_options(settings, parent),
            every_second=lambda now: gap.sample(now, engine.counters.of_phase["access"].begun),
        )
        if settings.ship:
            stack.callback(Child(shipper_command(settings)).stop)
        sync = VerdictSync(node.verdicts, SyncOptions(backend.url, backend.key, settings.spool.directory))
        heartbeat = Heartbeat(
            HeartbeatOptions(backend.url, backend.key, backend.node),
            spool,
            node.verdicts,
            lambda: None if server.is_succeeded else state_of(engine, node),
        )
        for thread in (sync, heartbeat):
            thread.start()
            stack.callback(thread.stop)
        if settings.metrics:
            sources = Sources(engine, server, node, gap, sync)
            stack.callback(MetricsServer(settings.metrics, PluginCollector(sources)).stop)
        stack.callback(close_spool, spool)  # the first to end: whoever stops us may not wait for the rest
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.freeze()  # what is here now stays; the collector need not look at it
        try:
            server.serve(started=lambda: log.info("serving", socket=str(settings.socket_path), pid=os.getpid()))
        except OSError as error:  # Kong starts us again every second: say what is wrong in one line
            tell_unpublished(settings, error)
            sys.exit(1)
        log.info("ending", reason=server.stop_reason)


def build_engine(node: Node, settings: ServeSettings) -> Engine:
    """Return the engine of the one plugin that this server has."""

    def build(config: Config) -> Tollkeeper:
        return Tollkeeper(config, node)

    return Engine({NAME: build}, limits=Limits(event_seconds=settings.event_seconds), on_failure=tell_failure)


def server_options(settings: ServeSettings, parent: int | None) -> ServerOptions:
    """Return how the server listens and ends."""
    return ServerOptions(
        settings.socket_path,
        socket_mode=settings.socket_mode,
        backlog=settings.backlog,
        half_message_seconds=settings.event_seconds,
        drain_seconds=settings.drain_seconds,
        parent=parent,
    )


def shipper_command(settings: ServeSettings) -> ChildCommand:
    """Return the command line of the shipper; the key's value, if there is no file, goes by the environment."""
    arguments = [
        *(sys.executable, "-m", "tollkeeper_kong", "ship", "--parent", str(os.getpid())),
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


def state_of(engine: Engine, node: Node) -> HandlerState:
    """Return what the heartbeat says of the two phases; called by its thread."""
    of_phase = engine.counters.of_phase
    enforced = {
        instance.plugin.enforce
        for instance in list(engine.instances.by_id.values())
        if isinstance(instance.plugin, Tollkeeper)
    }
    return HandlerState(
        enforce=next((mode for mode in ("on", "shadow", "off") if mode in enforced), "on"),
        access=of_phase["access"].begun,
        log=of_phase["log"].begun,
        refused=sum(node.counters.refused.values()),
        errors=of_phase["access"].failed + of_phase["log"].failed + node.counters.unreadable,
    )


def close_spool(spool: Spool) -> None:
    """Put what was accepted on the disk."""
    if not spool.close(SPOOL_CLOSE_SECONDS):
        log.error("spool_not_flushed", dropped=spool.counters.dropped)


def tell_failure(where: str, error: BaseException) -> None:
    """Log a handler's failure, without its text: it may quote a request."""
    log.error("handler_failed", where=where, error=whereabouts(error))


def tell_unpublished(settings: ServeSettings, error: OSError) -> None:
    """Log why nobody can connect."""
    log.error("socket_not_published", socket=str(settings.socket_path), error=str(error))
