"""Wait for the feed to move without holding a connection: the long poll's other half.

Waiters of one process share their look at the database: whoever finds the last look too old looks for all. So
a hundred nodes cost as many queries as one, ten a second.
"""

import threading
import time

from tollkeeper.entitlements.feed import NO_FEED
from tollkeeper.entitlements.feed_state import cursor_of, find_feed
from tollkeeper.storage.session import Database

LOOK_EVERY_SECONDS = 0.1


class FeedWatch:
    """The feed's cursor as this process saw it last, and how many requests wait for it to change."""

    def __init__(self, most_waiting: int) -> None:
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(most_waiting)
        self._looked_at = float("-inf")
        self._cursor = NO_FEED
        self._is_closed = threading.Event()

    def wait_for_change(self, database: Database, cursor: str | None, *, seconds: float) -> bool:
        """Return as soon as the feed's cursor is another one, at the latest after `seconds`; tell whether it is.

        Returns at once when too many wait already: a poll must not take the last thread from the events.
        """
        if seconds <= 0 or not self._places.acquire(blocking=False):
            return self._look(database) != cursor
        try:
            end = time.monotonic() + seconds
            while self._look(database) == cursor:
                left = end - time.monotonic()
                if left <= 0 or self._is_closed.wait(min(LOOK_EVERY_SECONDS, left)):
                    return False
            return True
        finally:
            self._places.release()

    def close(self) -> None:
        """Let every waiter go, and all to come: the process ends."""
        self._is_closed.set()

    def _look(self, database: Database) -> str:
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_EVERY_SECONDS:
                with database.snapshot() as session:
                    feed = find_feed(session)
                    self._cursor = NO_FEED if feed is None else cursor_of(feed)
                self._looked_at = time.monotonic()
            return self._cursor
