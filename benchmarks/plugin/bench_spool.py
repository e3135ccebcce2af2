"""What the spool costs who appends, and what it can take, against the least that any spool must do.

    .venv/bin/python benchmarks/plugin/bench_spool.py [directory]

The limit in each case is the same bytes, already joined, written by one loop of `os.write` and `os.fdatasync` in groups
of the same size: no queue, no checksum, no thread.
"""

import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from tollkeeper_kong.spool import MOST_GROUP_BYTES, Spool
from tollkeeper_kong.spool_writer import Fsync, SpoolTuning

RECORD = b'{"specversion":"1.0","id":"f2fabe059de0836c29f237543d6a201b",' + b'"pad":"' + b"x" * 480 + b'"}'
RECORDS = 200_000


def main() -> None:
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        print(f"records of {len(RECORD)} bytes, {RECORDS:,} of them, in {folder}")
        append_cost(folder / "append")
        for fsync in ("group", "interval", "off"):
            throughput(folder / fsync, fsync)
        steady(folder / "steady", 500)
        steady(folder / "steady2", 5000)
    finally:
        shutil.rmtree(folder)


def append_cost(folder: Path) -> None:
    """How long one append keeps its caller, and the longest that any did."""
    spool = Spool(folder, tuning=SpoolTuning(memory_bytes=RECORDS * len(RECORD)))
    longest = 0.0
    started = time.perf_counter()
    for _ in range(RECORDS):
        before = time.perf_counter()
        spool.append(RECORD)
        longest = max(longest, time.perf_counter() - before)
    each = (time.perf_counter() - started) / RECORDS
    spool.close()
    print(f"append: {each * 1e6:.2f} us each (two clock readings included), longest {longest * 1000:.1f} ms")


def throughput(folder: Path, fsync: Fsync) -> None:
    """Records a second until all are kept, with the limit beside it."""
    spool = Spool(folder, fsync=fsync, tuning=SpoolTuning(memory_bytes=RECORDS * len(RECORD)))
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(RECORDS):
        spool.append(RECORD)
    spool.flush(60)
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    spool.close()
    bare = bare_writes(folder / "bare", syncs=fsync == "group")
    rate = RECORDS / seconds
    print(
        f"fsync {fsync}: {rate:,.0f} records/s, {used / RECORDS * 1e6:.2f} us of CPU each; "
        f"bare writes {RECORDS / bare:,.0f}/s; ratio {bare / seconds:.2f}"
    )


def bare_writes(path: Path, *, syncs: bool) -> float:
    count = MOST_GROUP_BYTES // len(RECORD)  # what the spool writes at once when it has plenty
    group = RECORD * count
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    started = time.perf_counter()
    for _ in range(RECORDS // count + 1):
        os.write(descriptor, group)
        if syncs:
            os.fdatasync(descriptor)
    seconds = time.perf_counter() - started
    os.close(descriptor)
    return seconds


def steady(folder: Path, rate: int) -> None:
    """At a steady rate: how long until a record is kept, and how many syncs that took."""
    syncs = [0]
    real = os.fdatasync

    def counting(descriptor: int) -> None:
        syncs[0] += 1
        real(descriptor)

    os.fdatasync = counting
    spool = Spool(folder)
    waits: list[float] = []
    stop = threading.Event()

    def probe() -> None:
        while not stop.wait(0.05):
            before = time.perf_counter()
            goal = spool.counters.accepted
            while spool.counters.spooled < goal:
                time.sleep(0.000_5)
            waits.append((time.perf_counter() - before) * 1000)

    thread = threading.Thread(target=probe)
    thread.start()
    cpu, started = time.process_time(), time.perf_counter()
    for number in range(rate * 3):
        due = started + number / rate
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        spool.append(RECORD)
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    stop.set()
    thread.join()
    spool.close()
    os.fdatasync = real
    waits.sort()
    print(
        f"at {rate:,}/s: kept after {waits[len(waits) // 2]:.1f} ms (p50), {waits[len(waits) * 95 // 100]:.1f} (p95); "
        f"{syncs[0] / seconds:,.0f} syncs/s; {used / seconds * 100:.0f} % of a core, the generator's own included"
    )


if __name__ == "__main__":
    main()
