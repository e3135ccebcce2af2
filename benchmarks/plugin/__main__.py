"""Measure the plugin against its limits: `make bench-plugin`, or `python -m benchmarks.plugin --help`.

Every comparison runs its servers in turn, several rounds in the same run, and takes the best round of each: whatever
else the machine does only adds. A rate is events a second of the server's own CPU time: on two cores the generator, not
the server, ends what wall clock could show.
"""

import argparse
import gc
import os
import platform
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.plugin.load import (
    DENIED_STEP,
    RET,
    Connections,
    Measured,
    drive,
    event_message,
    resident_mib,
    server,
    start_instance,
    step_for,
)

ENGINES = ("limit", "ours", "stock-gevent", "stock-threads")
PACE = 500  # events a second, for the latency


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--memory-events", type=int, default=100_000, help="1,000,000 for the long form")
    parser.add_argument("--only", choices=["engine", "whole", "latency", "memory", "consumers"])
    options = parser.parse_args()
    print(f"# {cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}")
    parts = {
        "engine": lambda: compare_engines(options.rounds, options.seconds),
        "whole": lambda: compare_whole(options.rounds, options.seconds),
        "latency": lambda: compare_latency(options.rounds),
        "memory": lambda: watch_memory(options.memory_events),
        "consumers": weigh_consumers,
    }
    for name, part in parts.items():
        if options.only in (None, name):
            part()


def run_all(names: Sequence[str], phases: Sequence[str], rounds: int, seconds: float) -> dict[str, list[Measured]]:
    """Run each server once a round, in turn."""
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            with tempfile.TemporaryDirectory() as folder, server(name, Path(folder)) as (path, pid):
                drive(path, pid, phases, seconds=0.3)
                found[name].append(drive(path, pid, phases, seconds=seconds))
    return found


def tell(found: dict[str, list[Measured]]) -> dict[str, float]:
    """Print a line for each server; return the rates."""
    rates = {}
    for name, runs in found.items():
        rates[name] = max(run.rate_per_core for run in runs)
        wall = max(run.rate for run in runs)
        print(f"{name:14} {rates[name]:9,.0f} events/s   {1e6 / rates[name]:6.1f} us of CPU   ({wall:,.0f}/s wall)")
    return rates


def compare_engines(rounds: int, seconds: float) -> None:
    print("\n## engine: access with one PDK call, 32 connections")
    rates = tell(run_all(ENGINES, ["access"], rounds, seconds))
    best = max(rates["stock-gevent"], rates["stock-threads"])
    print(f"ours / stock's best mode: {rates['ours'] / best:.2f} (at least 4)")
    print(f"ours / limit:             {rates['ours'] / rates['limit']:.2f} (at least 0.6)")


def compare_whole(rounds: int, seconds: float) -> None:
    print("\n## whole plugin: access and log in turn, 10,000 consumers, spool with group fdatasync")
    found = run_all(("empty", "whole"), ["access", "log"], rounds, seconds)
    rates = tell(found)
    print(f"whole / empty: {rates['whole'] / rates['empty']:.2f} (at least 0.7)")
    answering = {name: max(run.answering_rate for run in runs) for name, runs in found.items()}
    print(f"whole / empty, without the thread that writes to disk: {answering['whole'] / answering['empty']:.2f}")


def compare_latency(rounds: int, seconds: float = 4.0) -> None:
    print(f"\n## access at {PACE} requests a second, each followed by its log")
    p99: dict[str, list[float]] = {"empty": [], "whole": []}
    for _ in range(rounds):
        for name, found in p99.items():
            with tempfile.TemporaryDirectory() as folder, server(name, Path(folder)) as (path, _pid):
                found.append(percentile(pace(path, seconds), 0.99))
    best = {name: min(found) for name, found in p99.items()}
    for name, value in best.items():
        print(f"{name:14} p99 {value * 1000:.3f} ms")
    print(f"whole - empty: {(best['whole'] - best['empty']) * 1000:+.3f} ms (at most 1)")


def pace(path: Path, seconds: float) -> list[float]:
    """Begin requests at a steady pace, whatever the server does; return the seconds each access took."""
    instance = start_instance(path)
    access, log = event_message(instance, "access"), event_message(instance, "log")
    connections = Connections(path, 16)
    idle = list(connections.sockets)
    begun: dict[int, float] = {}
    latencies: list[float] = []
    gc.disable()
    clock = time.perf_counter
    first = clock()
    count = 0
    while count < seconds * PACE or begun:
        now = clock()
        while idle and count < seconds * PACE and first + count / PACE <= now:
            number = idle.pop()
            begun[number] = first + count / PACE
            connections.sockets[number].send(access)
            count += 1
        wait = max(0.0, first + count / PACE - clock()) if count < seconds * PACE else 1.0
        for number, _ in connections.poll.poll(wait):
            connection = connections.sockets[number]
            reply = connection.recv(65536)
            if reply[10] != RET:
                connection.send(step_for(reply))
            elif begun[number]:
                latencies.append(clock() - begun[number])
                begun[number] = 0.0
                connection.send(log)
            else:
                del begun[number]
                idle.append(number)
    gc.enable()
    connections.close()
    return latencies


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)]


def watch_memory(events: int) -> None:
    print(f"\n## memory over {events:,} requests: 20 % refused, 1 % abandoned")
    with (
        tempfile.TemporaryDirectory() as folder,
        server("whole", Path(folder), BENCH_EVENT_SECONDS="1") as (path, pid),
    ):
        mistreat(path, events // 10)
        time.sleep(2.5)
        before = resident_mib(pid)
        mistreat(path, events)
        time.sleep(2.5)
        print(f"resident: {before:.1f} MiB after a tenth of it, {resident_mib(pid):.1f} MiB at the end")


def mistreat(path: Path, events: int) -> None:
    """Run requests of which some are refused and some abandoned in the middle."""
    instance = start_instance(path)
    access, log = event_message(instance, "access"), event_message(instance, "log")
    connections = Connections(path)
    dice = random.Random(1)
    for connection in connections.sockets.values():
        connection.send(access)
    done = 0
    while done < events:
        for number, _ in connections.poll.poll():
            connection = connections.sockets[number]
            reply = connection.recv(65536)
            is_exit = b"response.exit" in reply  # then Kong steps no more
            if reply[10] == RET or is_exit:
                done += 1
                connection.send(access if is_exit or done % 2 else log)
            elif (roll := dice.random()) < 0.01:
                done += 1
                connection.send(access)  # the event before is never stepped
            elif roll < 0.21 and b"get_consumer" in reply:
                connection.send(DENIED_STEP + reply[reply.rindex(b"EventId") + 7 :])
            else:
                connection.send(step_for(reply))
    connections.close()


def weigh_consumers() -> None:
    print("\n## 200,000 consumers in memory, each with a limit of its own")
    sizes = []
    for consumers in ("0", "200000"):
        with (
            tempfile.TemporaryDirectory() as folder,
            server("whole", Path(folder), BENCH_CONSUMERS=consumers) as (_path, pid),
        ):
            sizes.append(resident_mib(pid))
    print(f"resident: {sizes[0]:.0f} MiB without them, {sizes[1] - sizes[0]:.0f} MiB more with them (at most 150)")


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
