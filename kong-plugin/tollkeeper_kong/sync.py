"""Keep the verdicts fresh: a thread that long-polls the feed, keeps what came on disk, and never blocks an answer."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import requests
import structlog
import urllib3

from tollkeeper_kong.backend_client import ApiKey, BackendAway, BackendClient, BackendError, Backoff, NotTheBackend
from tollkeeper_kong.feed import FeedFrame, FeedSubject, NotAFeed, read_feed
from tollkeeper_kong.snapshot import SnapshotBuilder
from tollkeeper_kong.spool_space import measure_backlog
from tollkeeper_kong.verdict_store import VerdictStore
from tollkeeper_kong.verdicts import Verdicts

CHUNK_BYTES = 64 * 1024
MOST_APPENDED = 5000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """Where the feed is, and the spool: it says what the backend cannot know yet, and the last verdicts lie in it."""

    backend_url: str
    api_key: ApiKey
    spool_dir: Path
    wait_seconds: int = 20
    """How long the backend holds a poll that has nothing new."""
    least_poll_seconds: float = 0.1
    """Between two polls, whatever the backend does."""


@dataclass(slots=True)
class SyncCounters:
    """Since the start of the process."""

    answers: int = 0
    full_answers: int = 0
    failures: int = 0
    unexpected: int = 0
    """Failures of our own making; each is logged."""
    last_error: str | None = None
    """None while it goes well."""


class VerdictSync:
    """Feeds a `Verdicts` from the backend, in a native thread of its own."""

    def __init__(self, verdicts: Verdicts, options: SyncOptions) -> None:
        self.counters = SyncCounters()
        self._verdicts = verdicts
        self._options = options
        self._builder = SnapshotBuilder()
        self._store = VerdictStore(options.spool_dir)
        self._client = BackendClient(options.backend_url, options.api_key)
        self._backoff = Backoff(last_seconds=15.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="verdict-sync", daemon=True)

    def start(self) -> None:
        """Begin: first what is kept on disk, then the feed."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 1.0) -> None:
        """End after the poll under way; that may outlast the timeout, the thread is a daemon."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def poll(self, wait_seconds: int) -> bool:
        """Ask the feed once and take its answer; whether anything was new. Raises BackendError."""
        asked_at = time.monotonic()
        answer = self._client.fetch_verdicts(self._verdicts.cursor, wait_seconds)
        changes = _Changes()
        with answer:
            try:
                snapshot = self._builder.apply(changes.watch(read_feed(_chunks(answer))), received_at=time.monotonic())
            except NotAFeed as error:
                raise NotTheBackend(str(error)) from None
        self._verdicts.replace(snapshot, unshipped_seconds=self._unshipped_seconds())
        frame = changes.frame
        assert frame is not None, "apply raises if there is none"
        self.counters.answers += 1
        self.counters.full_answers += frame.full
        self._store.keep(snapshot, changes.subjects, frame)
        log.debug("verdicts_came", full=frame.full, seconds=round(time.monotonic() - asked_at, 3))
        return frame.full or changes.subjects is None or bool(changes.subjects or frame.removed)

    def _unshipped_seconds(self) -> float:
        with suppress(OSError):
            return measure_backlog(self._options.spool_dir).oldest_age_seconds
        return 0.0

    def _run(self) -> None:
        self._resume()
        while not self._stop.is_set():
            try:
                self.poll(self._options.wait_seconds)
            except BackendError as error:
                self._note_failure(error)
                continue
            except Exception as error:  # noqa: BLE001 - the sync thread is one of the three edges: it must not end
                self.counters.unexpected += 1
                self._note_failure(error)
                continue
            if self._backoff.failures:
                log.warning("verdicts_come_again", after_failures=self._backoff.failures)
                self._backoff.reset()
                self.counters.last_error = None
            self._stop.wait(self._options.least_poll_seconds)
        self._store.close()
        self._client.close()

    def _resume(self) -> None:
        snapshot = self._store.load(self._builder)
        if snapshot is not None:
            self._verdicts.replace(snapshot)
            log.info("verdicts_resumed", subjects=len(snapshot), age_seconds=round(self._verdicts.age_seconds or 0.0))

    def _note_failure(self, error: Exception) -> None:
        self.counters.failures += 1
        self.counters.last_error = f"{type(error).__name__}: {error}"
        wait_seconds = self._backoff.after(error)
        log.error("verdicts_not_fetched", error=self.counters.last_error, retry_seconds=round(wait_seconds, 1))
        self._stop.wait(wait_seconds)


class _Changes:
    """What the store needs of an answer, taken while it passes by."""

    def __init__(self) -> None:
        self.subjects: list[FeedSubject] | None = []
        self.frame: FeedFrame | None = None

    def watch(self, parts: Iterator[FeedSubject | FeedFrame]) -> Iterator[FeedSubject | FeedFrame]:
        """Pass the parts on."""
        for part in parts:
            if isinstance(part, FeedFrame):
                self.frame = part
            elif self.subjects is not None:
                self.subjects.append(part)
                if len(self.subjects) > MOST_APPENDED:
                    self.subjects = None
            yield part


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    try:
        yield from answer.iter_content(CHUNK_BYTES)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise BackendAway(f"the answer broke off: {type(error).__name__}") from None
