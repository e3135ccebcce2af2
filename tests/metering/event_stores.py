"""The event stores that the conformance suite runs on, behind one face."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tollkeeper.metering.accept import Accepted, accept_events
from tollkeeper.metering.event import Event
from tollkeeper.metering.findings import Finding, Verified
from tollkeeper.metering.stores.archive import Archive
from tollkeeper.metering.stores.move import move_events
from tollkeeper.metering.verify import verify_events, whole_range
from tollkeeper.storage.session import Database

NOW = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)


@dataclass(frozen=True)
class EventStore:
    """A database and the archive behind it, if it has one."""

    database: Database
    archive: Archive | None

    def accept(self, *events: Event, now: datetime = NOW) -> Accepted:
        """Take events in a transaction of their own; then they go where they shall lie for good."""
        answer = self.take(events, now=now)
        self.settle()
        return answer

    def take(self, events: Sequence[Event], now: datetime = NOW) -> Accepted:
        """Take events and leave them where they arrived."""
        with self.database.transaction() as session:
            return accept_events(session, events, now=now)

    def settle(self) -> None:
        """Move everything to the archive."""
        while self.archive is not None and move_events(self.database, self.archive, most=100):
            pass

    def verify(self) -> tuple[Verified, list[Finding]]:
        """Verify the whole store."""
        done = Verified()
        with self.database.snapshot() as session:
            found = list(verify_events(session, whole_range(session), done, lambda count: None))
        return done, found
