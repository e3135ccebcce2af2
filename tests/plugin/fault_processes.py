"""Processes to be killed: a parent that has imported everything forks writers and shippers on request.

    python -m tests.plugin.fault_processes

Reads one JSON object a line, {"role": "writer" | "shipper" | "follower", ...}, forks, answers with the pid. A writer
notes in its journal what it is about to append and what the spool has said is kept; the others note nothing.
"""

import errno
import json
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from tests.plugin.events_stub import KEY, event_bytes
from tollkeeper_kong.backend_client import ApiKey
from tollkeeper_kong.follow import FollowOptions, run_follower
from tollkeeper_kong.shipper import ShipperOptions, run_shipper
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.spool_writer import SpoolTuning

_write_to_journal = os.write  # as it is before the disk is made to fail


def event_of(event_id: str) -> bytes:
    """Return the one content that an id stands for, of a size of its own."""
    return event_bytes(event_id, pad=random.Random(event_id).randrange(600))


def write(order: dict[str, Any]) -> None:
    """Spool until told to end, noting intents before and what is kept after."""
    rng = random.Random(order["seed"])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    journal = os.open(order["journal"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    _make_trouble(order, rng)
    tuning = SpoolTuning(
        segment_bytes=rng.choice([2_000, 20_000, 10**6]),
        segment_seconds=rng.choice([0.05, 1.0]),
        group_seconds=rng.choice([0.0, 0.002]),
        retry_seconds=0.005,
    )
    spool = Spool(Path(order["spool"]), tuning=tuning)
    count = 0
    while not stop.is_set() and count < order["most"]:
        upto = count + rng.randint(1, 30)
        _write_to_journal(journal, b"intends %d\n" % upto)
        for number in range(count, upto):
            assert spool.append(event_of(f"{order['name']}-{number}"))
        count = upto
        if spool.flush(rng.choice([0.01, 5.0])):
            _write_to_journal(journal, b"keeps %d\n" % upto)
        time.sleep(rng.random() * 0.05)
    if spool.close(20):
        _write_to_journal(journal, b"keeps %d\n" % count)


def ship(order: dict[str, Any]) -> None:
    """Ship until told to end."""
    rng = random.Random(order["seed"])
    _make_trouble(order, rng)
    run_shipper(
        ShipperOptions(
            Path(order["spool"]),
            order["url"],
            ApiKey(value=KEY),
            "node-1",
            batch_records=order.get("batch", rng.choice([1, 17, 1000])),
            poll_seconds=0.01,
            backoff_seconds=(0.005, 0.03, 0.03),
        )
    )


def follow(order: dict[str, Any]) -> None:
    """Follow a file until told to end."""
    rng = random.Random(order["seed"])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    _make_trouble(order, rng)
    spool = Spool(Path(order["spool"]), tuning=SpoolTuning(retry_seconds=0.005))
    run_follower(
        FollowOptions(Path(order["file"]), Path(order["spool"]), "node-1", poll_seconds=0.01, stop=stop), spool
    )
    spool.close(20)


def _make_trouble(order: dict[str, Any], rng: random.Random) -> None:
    if order.get("clock") == "jumps":
        _let_clock_jump(rng)
    if order.get("disk") == "fails":
        _let_disk_fail(rng, until=time.monotonic() + 1.0)
    if order.get("disk") == "full":
        _limit_files(rng)


def _let_clock_jump(rng: random.Random) -> None:
    real = time.time
    time.time = lambda: real() + rng.choice([0, -3600, 3600, -86400 * 400, 86400 * 400])


def _let_disk_fail(rng: random.Random, until: float) -> None:
    """Make the calls that change a disk fail now and then, some halfway, until it heals."""
    disk = FailingDisk(rng, until)
    real_write, real_open = os.write, os.open

    def write_some(descriptor: int, content: Any) -> int:
        return real_write(descriptor, disk.cut(content))

    def open_some(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            disk.may_fail()
        return real_open(path, flags, *more, **named)

    os.write, os.open = write_some, open_some
    for name in ("fdatasync", "fsync", "rename", "unlink", "ftruncate"):
        setattr(os, name, disk.failing(getattr(os, name)))


class FailingDisk:
    """One call in seven fails, with one of the errors that disks have."""

    def __init__(self, rng: random.Random, until: float) -> None:
        self._rng = rng
        self._until = until

    def may_fail(self) -> None:
        if self._is_bad():
            number = self._rng.choice([errno.ENOSPC, errno.EROFS, errno.EIO])
            raise OSError(number, os.strerror(number))

    def cut(self, content: Any) -> Any:
        """Return less than what was to be written, or fail."""
        if not self._is_bad():
            return content
        self.may_fail()
        return memoryview(content)[: self._rng.randrange(len(content)) or 1]

    def failing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            self.may_fail()
            return real(*given, **more)

        return call

    def _is_bad(self) -> bool:
        return time.monotonic() < self._until and self._rng.random() < 0.15


def _limit_files(rng: random.Random) -> None:
    """No file of this process may grow beyond a few kilobytes for a while: the kernel refuses as a full disk does."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (rng.randrange(100, 5000), hard))
    threading.Timer(0.7, resource.setrlimit, (resource.RLIMIT_FSIZE, (hard, hard))).start()


def main() -> None:
    """Fork on request until the requests end."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid:
            sys.stdout.write(f"{pid}\n")
            sys.stdout.flush()
            continue
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        try:
            {"writer": write, "shipper": ship, "follower": follow}[order["role"]](order)
        except BaseException as error:
            Path(order["spool"]).parent.joinpath(f"crash-{os.getpid()}").write_text(repr(error))
            raise
        finally:
            os._exit(0)


if __name__ == "__main__":
    main()
