"""The test clock of a whole tenant: how far its time is ahead of the machine's, kept in the database.

Only a server that was started with TOLLKEEPER_TEST_CLOCK=1 opens it, and only then can it be advanced. A server
that was started without it refuses a database whose time was shifted (`require_unshifted`), for its time would
jump back.
"""

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from tollkeeper.clock import Clock, ShiftedClock, SystemClock
from tollkeeper.errors import Conflict, NotAllowed
from tollkeeper.storage.base import Base
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import insert_ignoring

CACHE_SECONDS = 0.2
MICROSECOND = timedelta(microseconds=1)


class TestClock(Base):
    """One row: the offset. It is there once a server with the test clock has run on this database."""

    __test__ = False  # pytest collects classes by this name
    __tablename__ = "test_clock"

    id: Mapped[int] = mapped_column(primary_key=True)
    offset_microseconds: Mapped[int] = mapped_column(BigInteger)


def open_test_clock(session: Session) -> None:
    """Allow this database's time to be advanced, for ever; a repeat changes nothing."""
    insert_ignoring(session, TestClock, [{"id": 1, "offset_microseconds": 0}])


def read_offset(session: Session) -> timedelta:
    """Return how far the database's time is ahead of the machine's."""
    offset = session.scalar(select(TestClock.offset_microseconds))
    return (offset or 0) * MICROSECOND


def require_unshifted(session: Session) -> None:
    """Raise Conflict if the database's time was advanced."""
    if read_offset(session):
        raise Conflict(
            "the time of this database was advanced by the test clock; start with TOLLKEEPER_TEST_CLOCK=1, "
            "or use another database"
        )


def require_open_test_clock(session: Session) -> None:
    """Raise NotAllowed unless a server with the test clock has run on this database."""
    if session.get(TestClock, 1) is None:
        raise NotAllowed("the test clock is closed: start the server with TOLLKEEPER_TEST_CLOCK=1 first")


def move_test_clock(session: Session, to: datetime) -> None:
    """Set the tenant's time to an instant, from which it goes on; time that is there already is left alone."""
    require_open_test_clock(session)
    row = session.scalars(select(TestClock).with_for_update().execution_options(populate_existing=True)).one()
    row.offset_microseconds = max(row.offset_microseconds, (to - SystemClock().now()) // MICROSECOND)


class OffsetReader:
    """Reads the offset for ShiftedClock, from the database at most once per `cache_seconds`."""

    def __init__(self, database: Database, cache_seconds: float = CACHE_SECONDS) -> None:
        self._database = database
        self._cache_seconds = cache_seconds
        self._lock = threading.Lock()
        self._offset = timedelta(0)
        self._read_at = float("-inf")

    def __call__(self) -> timedelta:
        """Return the offset, at most `cache_seconds` old."""
        with self._lock:
            if time.monotonic() - self._read_at > self._cache_seconds:
                with self._database.snapshot() as session:
                    self._offset = max(self._offset, read_offset(session))
                self._read_at = time.monotonic()
            return self._offset

    def forget(self) -> None:
        """Read anew at the next call."""
        with self._lock:
            self._read_at = float("-inf")


@dataclass(frozen=True, slots=True)
class OpenedClock:
    """A process's clock, and the reader of its offset if it is a test clock."""

    clock: Clock
    offset: OffsetReader | None = None


def open_clock(database: Database, *, is_test_clock: bool, cache_seconds: float = CACHE_SECONDS) -> OpenedClock:
    """Return the clock that a process asks for the time; `tollkeeper serve` allows its advance, nothing else does.

    Jobs ask without a cache: an old time would undo what another process has done at a newer one.
    Raises Conflict without the test clock on a database whose time was advanced.
    """
    if not is_test_clock:
        with database.snapshot() as session:
            require_unshifted(session)
        return OpenedClock(SystemClock())
    offset = OffsetReader(database, cache_seconds)
    return OpenedClock(ShiftedClock(offset), offset)
