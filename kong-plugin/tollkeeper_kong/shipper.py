"""The shipper: a process that brings spooled records to the backend and deletes what was answered.

It reads closed segments, those of dead processes, and what is whole of the segments still being written; so a record
arrives within a poll of being written, and no writer waits for it. Killed at any point it repeats a batch, whose
records carry the same ids and count once.
"""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tollkeeper_kong.backend_client import ApiKey, BackendClient, BackendError, Backoff
from tollkeeper_kong.delivery import deliver
from tollkeeper_kong.follow import FollowOptions, start_follower
from tollkeeper_kong.segment_reader import SegmentReader
from tollkeeper_kong.segments import list_segments, sweep
from tollkeeper_kong.set_aside import SetAside
from tollkeeper_kong.shipper_state import ShipperCounters, load_counters, save_counters
from tollkeeper_kong.spool_writer import Fsync

LOCK_NAME = "shipper.lock"
SWEEP_SECONDS = 60.0
COUNTERS_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ShipperOptions:
    """What a shipper needs to know. `follow`: files of Kong's file-log that it reads besides the spool."""

    spool_dir: Path
    backend_url: str
    api_key: ApiKey
    node: str
    follow: tuple[Path, ...] = ()
    spool_max_bytes: int = 1024**3
    fsync: Fsync = "group"
    """These two are for what is followed: it goes through a spool of its own in the same directory."""
    batch_records: int = 1000
    batch_bytes: int = 1024 * 1024
    poll_seconds: float = 0.2
    backoff_seconds: tuple[float, float, float] = (0.5, 30.0, 30.0)
    """First wait, longest wait, and the least after what only a person can end (a refused key, a wrong URL)."""
    parent: int | None = None
    """End when this process is not the parent: its successor starts a shipper of its own. The parent tells its id, for
    it may be gone before this process could ask."""
    drains: bool = False
    """Return once nothing is left to ship, or at the first failure."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set by SIGTERM and SIGINT; the batch under way is finished."""


def run_shipper(options: ShipperOptions) -> ShipperCounters:
    """Ship until told to stop. A second shipper on the same spool waits until the first has ended."""
    _stop_on_signals(options.stop)
    with _only_one(options) as is_ours:
        if not is_ours:
            return ShipperCounters()
        followers = _start_followers(options)
        shipper = Shipper(options)
        try:
            shipper.run()
        finally:
            options.stop.set()
            for follower in followers:
                follower.join(10.0)
            shipper.close()
    return shipper.counters


class Shipper:
    """Ships one spool directory; the caller holds its lock."""

    def __init__(self, options: ShipperOptions) -> None:
        self.counters = ShipperCounters()
        self._options = options
        self._client = BackendClient(options.backend_url, options.api_key)
        self._set_aside = SetAside(options.spool_dir / "rejected")
        self._backoff = Backoff(*options.backoff_seconds)
        self._swept_at = self._saved_at = float("-inf")
        # an error of the shipper before us stands in the file until we know better
        self._saved = ShipperCounters(last_error=load_counters(options.spool_dir).last_error)

    def run(self) -> None:
        """Ship what there is, wait, go on; on a failure wait longer and longer."""
        while not self._is_done():
            try:
                shipped = self.ship_all()
            except (BackendError, OSError) as error:
                wait_seconds = self._note_failure(error)
                if self._options.drains:
                    return
                self._options.stop.wait(wait_seconds)
                continue
            self._note_success()
            if not shipped:
                if self._options.drains:
                    return
                self._options.stop.wait(self._options.poll_seconds)

    def ship_all(self) -> int:
        """Ship every segment as far as it is whole; return the records. Raises BackendError, OSError."""
        shipped = 0
        self._sweep_if_due()
        for segment in list_segments(self._options.spool_dir):
            with SegmentReader(segment) as reader:
                while not self._options.stop.is_set():
                    records = reader.read(self._options.batch_records, self._options.batch_bytes)
                    if records:
                        shipped += self._ship(records)
                    self.counters.lost_to_damage += reader.settle()
                    if not records:
                        break
        return shipped

    def close(self) -> None:
        """Write the counters down and end the connections."""
        self._save_counters()
        self._client.close()

    def _ship(self, records: list[bytes]) -> int:
        delivered = deliver(self._client, records, self._set_aside)
        self.counters.shipped += delivered.accepted + delivered.duplicates
        self.counters.duplicates += delivered.duplicates
        self.counters.set_aside += delivered.set_aside
        self.counters.set_aside_forgotten = self._set_aside.forgotten
        self.counters.batches += 1
        self._note_success()
        return len(records)

    def _is_done(self) -> bool:
        return self._options.parent not in {None, os.getppid()} or self._options.stop.is_set()

    def _note_failure(self, error: BackendError | OSError) -> float:
        self.counters.errors += 1
        self.counters.last_error = f"{type(error).__name__}: {error}"
        self._save_counters()
        wait_seconds = self._backoff.after(error)
        log.error("shipping_failed", error=self.counters.last_error, retry_seconds=round(wait_seconds, 1))
        return wait_seconds

    def _note_success(self) -> None:
        if self._backoff.failures:
            log.warning("shipping_again", after_failures=self._backoff.failures)
            self._backoff.reset()
        self.counters.last_error = None
        if time.monotonic() - self._saved_at >= COUNTERS_SECONDS:
            self._save_counters()

    def _save_counters(self) -> None:
        self._saved_at = time.monotonic()
        if self.counters == self._saved:
            return
        self._saved = save_counters(self._options.spool_dir, self.counters, self._saved)

    def _sweep_if_due(self) -> None:
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            sweep(self._options.spool_dir)


def _start_followers(options: ShipperOptions) -> list[threading.Thread]:
    return [
        start_follower(
            FollowOptions(path, options.spool_dir, options.node, stop=options.stop),
            options.spool_max_bytes,
            options.fsync,
        )
        for path in options.follow
    ]


def _stop_on_signals(stop: threading.Event) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())


@contextmanager
def _only_one(options: ShipperOptions) -> Iterator[bool]:
    """Hold the spool's shipper lock; yield False when this shipper was to end before it was free."""
    descriptor: int | None = None
    told = ""
    while not options.stop.is_set() and options.parent in {None, os.getppid()}:
        try:
            descriptor = _lock(options.spool_dir)
            break
        except OSError as error:
            why = "another shipper runs" if isinstance(error, BlockingIOError) else str(error)
            if why != told:
                log.warning("shipper_waits", spool_dir=str(options.spool_dir), why=why)
                told = why
            options.stop.wait(options.poll_seconds)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(spool_dir: Path) -> int:
    """Return the descriptor that holds the lock; raises BlockingIOError if it is taken, OSError if the disk refuses."""
    spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(spool_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
