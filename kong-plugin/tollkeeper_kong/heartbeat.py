"""Tell the backend every ten seconds how this node is, and learn the offset of our clock."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import msgspec
import structlog

from tollkeeper_kong.backend_client import ApiKey, BackendClient, BackendError
from tollkeeper_kong.feed import NotAFeed
from tollkeeper_kong.shipper_state import load_counters
from tollkeeper_kong.snapshot import format_time, parse_time
from tollkeeper_kong.spool import Spool
from tollkeeper_kong.verdicts import Verdicts

BEAT_SECONDS = 10.0
LARGE_OFFSET_SECONDS = 60.0

log = structlog.get_logger()


class SpoolState(msgspec.Struct, frozen=True):
    """What waits on this node."""

    records: int
    bytes: int
    oldest_age_seconds: float


class BeatCounters(msgspec.Struct, frozen=True):
    """Since the start of the process, but for what the shipper counts: that is since the spool was made."""

    access: int
    log: int
    spooled: int
    shipped: int
    dropped: int
    refused: int
    set_aside: int
    errors: int


class Beat(msgspec.Struct, frozen=True):
    """The request of docs/wire-contract.md, Heartbeat."""

    node: str
    version: str
    sent_at: str
    enforce: str
    verdict_cursor: str | None
    verdict_age_seconds: float | None
    spool: SpoolState
    counters: BeatCounters


@dataclass(frozen=True, slots=True)
class HandlerState:
    """What the two phases have done, told by the plugin server."""

    enforce: str = "on"
    access: int = 0
    log: int = 0
    refused: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class HeartbeatOptions:
    """Where the beats go, and whose they are."""

    backend_url: str
    api_key: ApiKey
    node: str
    seconds: float = BEAT_SECONDS


class Heartbeat:
    """Beats in a native thread of its own. A beat that fails is counted; the next one says it all again."""

    def __init__(
        self,
        options: HeartbeatOptions,
        spool: Spool,
        verdicts: Verdicts,
        handler_state: Callable[[], HandlerState | None],
    ) -> None:
        self.failures = 0
        self.clock_offset_seconds: float | None = None
        """What to add to our clock to have the backend's; None before the first answer."""
        self._options = options
        self._spool = spool
        self._verdicts = verdicts
        self._handler_state = handler_state
        self._client = BackendClient(options.backend_url, options.api_key)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 1.0) -> None:
        """Beat no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def beat(self) -> None:
        """Send one beat, unless another server speaks for this node by now. Raises BackendError."""
        beat = self.build()
        if beat is None:
            return
        asked_at = time.time()
        answer = self._client.send_heartbeat(beat)
        answered_at = time.time()
        try:
            offset = parse_time(answer.server_time) - (asked_at + answered_at) / 2
        except NotAFeed:
            return
        self.clock_offset_seconds = offset
        if abs(offset) > LARGE_OFFSET_SECONDS:
            log.warning("clock_is_off", offset_seconds=round(offset, 1))

    def build(self) -> Beat | None:
        """Return what would be sent now; None if it is for another server to beat."""
        handled = self._handler_state()
        if handled is None:
            return None
        backlog, shipped = self._spool.backlog(), load_counters(self._spool.directory)
        age = self._verdicts.age_seconds
        return Beat(
            self._options.node,
            our_version(),
            format_time(time.time()),
            handled.enforce,
            self._verdicts.cursor,
            None if age is None else round(age, 3),
            SpoolState(backlog.records, backlog.bytes, round(backlog.oldest_age_seconds, 3)),
            BeatCounters(
                access=handled.access,
                log=handled.log,
                spooled=self._spool.counters.spooled,
                shipped=shipped.shipped,
                dropped=self._spool.counters.dropped,
                refused=handled.refused,
                set_aside=shipped.set_aside,
                errors=handled.errors,
            ),
        )

    def _run(self) -> None:
        while not self._stop.wait(self._options.seconds if self.clock_offset_seconds is not None else 1.0):
            try:
                self.beat()
            except (BackendError, OSError) as error:
                self.failures += 1
                log.warning("heartbeat_failed", error=f"{type(error).__name__}: {error}")
                self._stop.wait(self._options.seconds)
        self._client.close()


def our_version() -> str:
    """Return the version of this package."""
    try:
        return version("tollkeeper")
    except PackageNotFoundError:
        return "unknown"
