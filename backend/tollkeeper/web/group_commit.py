"""Store small requests of events together: one transaction for those that wait. Large ones gain nothing by it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tollkeeper.errors import Unavailable
from tollkeeper.metering.accept import Accepted, store_events, store_group
from tollkeeper.metering.prepare import Preparation
from tollkeeper.storage.session import Database

# A transaction costs about as much as 200 events.
SMALL = 500
MOST_TOGETHER = 5_000
# PostgreSQL stores one group while we prepare the next; SQLite has one writer.
LEADERS = {"sqlite": 1, "postgresql": 2}


@dataclass(slots=True, eq=False)
class Waiting:
    """A request whose events wait to be stored; without an answer at the end, its group failed."""

    preparation: Preparation
    is_taken: bool = False
    is_done: bool = False
    answer: Accepted | None = None


class GroupCommit:
    """One per process: the first request that finds a free place leads, and takes along all that wait.

    No request is answered before the transaction that holds its events is committed. If that fails, each is stored
    alone, so that none fails for another's sake; but if the database is away, the one that led says so at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Waiting] = []
        self._free = LEADERS[database.engine.dialect.name]
        self._changed = threading.Condition()

    def store(self, preparation: Preparation, *, clock: Callable[[], datetime]) -> Accepted:
        """Store a request's events durably; say what became of them."""
        if len(preparation.prepared) <= SMALL:
            own = Waiting(preparation)
            group = self._join(own)
            if group:
                self._lead(group, clock)
            if own.answer is not None:
                return own.answer
        with self._database.transaction() as session:
            return store_events(session, preparation, now=clock())

    @property
    def waiting(self) -> int:
        """Return how many requests wait for a leader."""
        return len(self._waiting)

    def _join(self, own: Waiting) -> list[Waiting]:
        """Wait until one's events are stored, and return nothing; or until one may lead, and return one's group."""
        with self._changed:
            self._waiting.append(own)
            self._changed.wait_for(lambda: own.is_done or (self._free > 0 and not own.is_taken))
            if own.is_done:
                return []
            self._free -= 1
            self._waiting.remove(own)
            group, events = [own], len(own.preparation.prepared)
            while self._waiting and events + len(self._waiting[0].preparation.prepared) <= MOST_TOGETHER:
                events += len(self._waiting[0].preparation.prepared)
                group.append(self._waiting.pop(0))
            for one in group:
                one.is_taken = True
            return group

    def _lead(self, group: list[Waiting], clock: Callable[[], datetime]) -> None:
        answers: list[Accepted] = []
        try:
            now = clock()  # a test clock asks the database, which may be away
            with self._database.transaction() as session:
                stored = store_group(session, [one.preparation for one in group], now=now)
            answers = stored
        except Unavailable:
            raise
        except Exception:  # of whoever is to blame it is raised again, when his events are stored alone
            if len(group) == 1:
                raise
        finally:
            with self._changed:
                for place, one in enumerate(group):
                    one.answer = answers[place] if answers else None
                    one.is_done = True
                self._free += 1
                self._changed.notify_all()
