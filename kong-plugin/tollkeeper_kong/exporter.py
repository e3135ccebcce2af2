"""Metrics for Prometheus, read from plain counters when it asks, served by a native thread on a loopback port."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

import prometheus_client
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from tollkeeper_kong.engine import Engine
from tollkeeper_kong.log_gap import LogGap
from tollkeeper_kong.metrics import SECONDS_BUCKETS
from tollkeeper_kong.node import Node
from tollkeeper_kong.server import Server
from tollkeeper_kong.shipper_state import load_counters
from tollkeeper_kong.sync import VerdictSync

RETRY_SECONDS = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sources:
    """What the metrics are read from."""

    engine: Engine
    server: Server
    node: Node
    gap: LogGap
    sync: VerdictSync


class PluginCollector(Collector):
    """All metrics of a plugin server; the names are in docs/plugin.md."""

    def __init__(self, sources: Sources) -> None:
        self._from = sources

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        yield from self._events()
        yield from self._connections()
        yield from self._decisions()
        yield from self._records()
        yield from self._verdicts()

    def _events(self) -> Iterator[Metric]:
        of_phase = dict(self._from.engine.counters.of_phase)
        begun = CounterMetricFamily("tollkeeper_events", "Events that Kong began.", labels=["phase"])
        failed = CounterMetricFamily("tollkeeper_event_failures", "Events whose handler failed.", labels=["phase"])
        seconds = HistogramMetricFamily(
            "tollkeeper_event_seconds", "From Kong's first message of an event to our last.", labels=["phase"]
        )
        for phase, counters in of_phase.items():
            begun.add_metric([phase], counters.begun)
            failed.add_metric([phase], counters.failed)
            seconds.add_metric([phase], _cumulated(counters.buckets), counters.seconds)
        failed.add_metric(["start"], self._from.engine.counters.failed_starts)
        yield from (begun, failed, seconds)
        missing = GaugeMetricFamily(
            "tollkeeper_log_events_missing",
            "Requests that began long ago and that Kong never logged.",
            labels=["bound"],
        )
        logged = of_phase["log"].begun if "log" in of_phase else 0
        at_least, at_most = self._from.gap.missing(logged, self._from.node.counters.recorded_after_access)
        missing.add_metric(["at_least"], at_least)
        missing.add_metric(["at_most"], at_most)
        yield missing

    def _connections(self) -> Iterator[Metric]:
        engine = self._from.engine
        counters = engine.counters
        yield _counter("events_expired", "Events that Kong abandoned.", counters.expired)
        yield _counter("events_crowded_out", "Events given up for newer ones.", engine.waiting.crowded_out)
        yield _counter("exits", "Requests that the plugin answered itself.", counters.exits)
        yield _counter("rpc_errors", "Calls answered with an error.", counters.rpc_errors)
        yield _counter("calls_passed_on", "Calls that the server beside this one answered.", counters.passed_on)
        yield _counter("connections", "Connections accepted.", counters.connections)
        yield _counter("connections_malformed", "Connections closed for garbage.", counters.malformed)
        yield _counter("connections_half", "Connections closed for half a message.", counters.half_messages)
        yield _counter("connections_broken", "Connections that broke.", counters.broken)
        yield _counter("connections_refused", "Connections that could not be taken.", counters.accept_failures)
        yield _gauge("connections_open", "Connections open now.", self._from.server.open_connections)
        yield _gauge("events_waiting", "Events that wait for Kong's next step.", len(engine.waiting))
        yield _gauge("instances", "Configurations that Kong has started here.", len(engine.instances.by_id))
        yield _counter("instances_evicted", "Configurations that made room for others.", engine.instances.evicted)

    def _decisions(self) -> Iterator[Metric]:
        counters = self._from.node.counters
        for name, text, counts in (
            ("refused", "Requests refused.", counters.refused),
            ("would_refuse", "Requests that passed in shadow mode and would have been refused.", counters.would_refuse),
        ):
            family = CounterMetricFamily(f"tollkeeper_{name}", text, labels=["code"])
            for code, count in dict(counts).items():
                family.add_metric([code], count)
            yield family

    def _records(self) -> Iterator[Metric]:
        node = self._from.node
        spooled, shipped, backlog = node.spool.counters, load_counters(node.spool.directory), node.spool.backlog()
        yield _counter("records", "Usage records made.", node.counters.recorded)
        yield _counter("records_unreadable", "Log events that were no request.", node.counters.unreadable)
        yield _counter("records_spooled", "Records written to the spool.", spooled.spooled)
        yield _counter("records_shipped", "Records that the backend has, since the spool was made.", shipped.shipped)
        yield _counter("records_set_aside", "Records that the backend refused as invalid.", shipped.set_aside)
        dropped = CounterMetricFamily("tollkeeper_records_dropped", "Records lost, by reason.", labels=["reason"])
        for reason in ("memory", "full", "oldest", "size", "close"):
            dropped.add_metric([reason], getattr(spooled, f"dropped_{reason}"))
        yield dropped
        yield _gauge("spool_records", "Records that wait for the backend.", backlog.records)
        yield _gauge("spool_bytes", "Bytes that wait for the backend.", backlog.bytes)
        yield _gauge("spool_oldest_seconds", "Age of the oldest record that waits.", backlog.oldest_age_seconds)
        yield _gauge("spool_failing", "1 while the disk refuses.", int(node.spool.is_failing))

    def _verdicts(self) -> Iterator[Metric]:
        verdicts, sync = self._from.node.verdicts, self._from.sync.counters
        age = verdicts.age_seconds
        yield _gauge("verdicts_age_seconds", "Since the backend was heard.", float("nan") if age is None else age)
        yield _gauge("verdict_subjects", "Subjects that belong to a customer.", verdicts.subject_count)
        yield _counter("verdict_answers", "Answers of the verdict feed.", sync.answers)
        yield _counter("verdict_failures", "Polls of the verdict feed that failed.", sync.failures)


class MetricsServer:
    """Serves the metrics. During `kong reload` the old server still has the port: try again until it is free."""

    def __init__(self, address: tuple[str, int], collector: Collector, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._address = address
        self._retry_seconds = retry_seconds
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        prometheus_client.ProcessCollector(registry=self._registry)
        self._stop = threading.Event()
        self._server: WSGIServer | None = None
        self._thread = threading.Thread(target=self._bind, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int | None:
        """The port, once it could be bound."""
        return None if self._server is None else self._server.server_port

    def stop(self) -> None:
        """Serve no more."""
        self._stop.set()
        self._thread.join(1.0)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _bind(self) -> None:
        host, port = self._address
        has_told = False
        while not self._stop.is_set():
            try:
                self._server, _thread = prometheus_client.start_http_server(port, host, self._registry)
            except OSError as error:
                if not has_told:
                    has_told = True
                    log.warning("metrics_port_taken", address=f"{host}:{port}", error=str(error))
                self._stop.wait(self._retry_seconds)
            else:
                return


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"tollkeeper_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tollkeeper_{name}", text, value=value)


def _cumulated(buckets: list[int]) -> list[tuple[str, float]]:
    total, cumulated = 0, []
    for bound, count in zip([*map(str, SECONDS_BUCKETS), "+Inf"], list(buckets), strict=True):
        total += count
        cumulated.append((bound, float(total)))
    return cumulated
