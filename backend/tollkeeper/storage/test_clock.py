"""The test clock of a whole tenant: how far its time is ahead of the machine's, kept in the database.

Only a server that was started with TOLLKEEPER_TEST_CLOCK=1 opens it, and only then can it be advanced. A server
that was started without it refuses a database whose time was shifted (`require_unshifted`), for its time would
jump back.
"""

import threading
import time
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from tollkeeper.clock import SystemClock
from tollkeeper.errors import Conflict, InvalidInput, NotAllowed
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


def move_test_clock(session: Session, to: datetime) -> None:
    """Set the time forward to an instant; it goes on from there.

    Raises NotAllowed if no server with the test clock has run on this database, InvalidInput for a time that
    is not ahead of the tenant's.
    """
    row = session.scalar(select(TestClock).with_for_update().execution_options(populate_existing=True))
    if row is None:
        raise NotAllowed("the test clock is closed: start the server with TOLLKEEPER_TEST_CLOCK=1 first")
    offset = (to - SystemClock().now()) // MICROSECOND
    if offset < row.offset_microseconds:
        raise InvalidInput.of("/to", "is not after the tenant's current time; time never goes backwards")
    row.offset_microseconds = offset


class OffsetReader:
    """Reads the offset for ShiftedClock, from the database at most five times a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._offset = timedelta(0)
        self._read_at = float("-inf")

    def __call__(self) -> timedelta:
        """Return the offset, at most CACHE_SECONDS old."""
        with self._lock:
            if time.monotonic() - self._read_at > CACHE_SECONDS:
                with self._database.snapshot() as session:
                    self._offset = max(self._offset, read_offset(session))
                self._read_at = time.monotonic()
            return self._offset

    def forget(self) -> None:
        """Read anew at the next call."""
        with self._lock:
            self._read_at = float("-inf")
