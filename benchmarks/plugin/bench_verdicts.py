"""What 200,000 consumers cost a gateway node: memory, time to read the feed, time to decide, pauses while reading.

    .venv/bin/python benchmarks/plugin/bench_verdicts.py [consumers]

The feed lies in a file and is read in pieces, as from a socket. Each consumer has a customer and a limit of its
own: the worst case, since consumers of one customer share its limits.
"""

import json
import resource
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from tollkeeper_kong.feed import read_feed
from tollkeeper_kong.schema import Policy
from tollkeeper_kong.snapshot import RequestScope, Snapshot, SnapshotBuilder
from tollkeeper_kong.verdict_store import VerdictStore
from tollkeeper_kong.verdicts import Verdicts

POLICY = Policy()
REQUEST = RequestScope(route_id="r", route_name="flights", service_id="s", service_name="flights", method="GET")


def subject_of(number: int) -> str:
    return f"consumer:{uuid.UUID(int=number * 7919 + (1 << 100))}"


def feed(consumers: int) -> Iterator[bytes]:
    yield b'{"cursor":"17","full":true,"generated_at":"2026-11-22T07:30:00.000Z","subjects":['
    lines = []
    for number in range(consumers):
        limit = {
            "id": f"lim_{number:026d}",
            "feature": "flights_ok",
            "scope": {
                "routes": ["flights"],
                "route_ids": ["e0b0d1b3-a05e-5b17-bb4f-372aec007573"],
                "services": [],
                "service_ids": [],
                "methods": [],
                "models": [],
            },
            "kind": "requests",
            "state": "deny" if number % 10 == 0 else "allow",
            "reason": "1000 of 1000 used" if number % 10 == 0 else None,
            "code": "quota_exhausted",
            "limit": "1000",
            "used": str(1000 if number % 10 == 0 else number % 997),
            "resets_at": "2026-12-01T00:00:00.000Z",
            "hard": True,
            "status": 429,
        }
        line = {"subject": subject_of(number), "customer": f"cus_{number:026d}", "limits": [limit]}
        lines.append((b"," if number else b"") + json.dumps(line).encode())
        if len(lines) == 100:
            yield b"".join(lines)
            lines = []
    yield b"".join(lines) + b'],"removed":[]}'


def resident_mib() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 1024**2


class Pauses(threading.Thread):
    """Stands in for the thread that answers Kong: how late does it wake?"""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.late: list[float] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            before = time.perf_counter()
            time.sleep(0.001)
            self.late.append((time.perf_counter() - before - 0.001) * 1000)

    def summary(self) -> str:
        late = sorted(self.late)
        return f"p50 {late[len(late) // 2]:.2f} ms, p99 {late[len(late) * 99 // 100]:.2f} ms, longest {late[-1]:.1f} ms"


def main() -> None:
    consumers = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed.json"
        with path.open("wb") as file:
            file.writelines(feed(consumers))
        measure(path, consumers)


def measure(path: Path, consumers: int) -> None:
    print(f"another thread that sleeps 1 ms wakes late, nothing else running: {watched(lambda: time.sleep(2))}")
    before = resident_mib()
    builder = SnapshotBuilder()
    snapshots = []
    started = time.perf_counter()
    pauses = watched(lambda: snapshots.append(read(builder, path)))
    print(f"read the feed of {consumers:,} consumers ({path.stat().st_size / 1e6:.0f} MB): {since(started)}")
    print(f"  meanwhile it wakes late: {pauses}")
    print(f"  memory: {resident_mib() - before:.0f} MiB more than before ({before:.0f} MiB)")
    keep_and_load(snapshots[0], before)
    decide(snapshots[0], consumers)
    started = time.perf_counter()
    read(builder, path)
    print(f"a second full answer, unchanged: {since(started)}, {resident_mib() - before:.0f} MiB after it")


def read(builder: SnapshotBuilder, path: Path) -> Snapshot:
    with path.open("rb") as file:
        chunks = iter(lambda: file.read(64 * 1024), b"")
        return builder.apply(read_feed(chunks), received_at=time.monotonic())


def watched(run: Callable[[], object]) -> str:
    pauses = Pauses()
    pauses.start()
    run()
    pauses.stop.set()
    pauses.join()
    return pauses.summary()


def since(started: float) -> str:
    return f"{time.perf_counter() - started:.1f} s"


def keep_and_load(snapshot: Snapshot, before: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = VerdictStore(Path(folder))
        started = time.perf_counter()
        store.rewrite(snapshot)
        print(f"keep on disk: {time.perf_counter() - started:.1f} s, {resident_mib() - before:.0f} MiB after it")
        started = time.perf_counter()
        store.load(SnapshotBuilder())
        print(f"load from disk: {time.perf_counter() - started:.1f} s")


def decide(snapshot: Snapshot, consumers: int) -> None:
    verdicts = Verdicts()
    verdicts.replace(snapshot)
    subjects = [subject_of(number) for number in range(min(consumers, 50_000))]
    started = time.perf_counter()
    refused = sum(not verdicts.decide(subject, REQUEST, POLICY).is_allowed for subject in subjects)
    each = (time.perf_counter() - started) / len(subjects) * 1e6
    print(f"decide, each consumer once: {each:.2f} us ({refused:,} of {len(subjects):,} refused)")
    allowed = [subject for number, subject in enumerate(subjects[:1000]) if number % 10]
    started = time.perf_counter()
    for _ in range(20):
        for subject in allowed:
            verdicts.decide(subject, REQUEST, POLICY)
    print(f"decide, allowed: {(time.perf_counter() - started) / len(allowed) / 20 * 1e6:.2f} us")


if __name__ == "__main__":
    main()
