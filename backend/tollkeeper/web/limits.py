"""Count failures per caller in this process, in bounded memory."""

import hashlib
import threading
from collections import OrderedDict
from datetime import datetime, timedelta

MOST_CALLERS = 10_000


class FailureLimit:
    """Refuse a caller after `most` failures within `window`; several processes count each for themselves.

    Of what names the caller only a digest is kept: it is the client's text, of any length, and may hold a secret.
    """

    def __init__(self, most: int, window: timedelta) -> None:
        self._most = most
        self._window = window
        self._failures: OrderedDict[bytes, list[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def seconds_to_wait(self, caller: str, *, now: datetime) -> int:
        """Return 0 if the caller may try, else the seconds until a try is free again."""
        with self._lock:
            recent = self._recent(caller, now)
            if len(recent) < self._most:
                return 0
            return max(1, int((recent[0] + self._window - now).total_seconds()))

    def note_failure(self, caller: str, *, now: datetime) -> None:
        """Count one failure; the caller unseen for longest is forgotten when there are too many."""
        with self._lock:
            digest = _digest(caller)
            self._failures[digest] = [*self._recent(caller, now), now][-self._most :]
            self._failures.move_to_end(digest)
            if len(self._failures) > MOST_CALLERS:
                self._failures.popitem(last=False)

    def forget(self, caller: str) -> None:
        """Start afresh for a caller who succeeded."""
        with self._lock:
            self._failures.pop(_digest(caller), None)

    def forget_all(self) -> None:
        """Start afresh for everybody."""
        with self._lock:
            self._failures.clear()

    def _recent(self, caller: str, now: datetime) -> list[datetime]:
        return [at for at in self._failures.get(_digest(caller), ()) if now - at < self._window]


def _digest(caller: str) -> bytes:
    return hashlib.sha256(caller.encode(errors="surrogatepass")).digest()
