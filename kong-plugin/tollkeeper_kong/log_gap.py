"""How many log events Kong must have lost, from comparing `access` with `log`.

Kong drops log timers above 4,096 per worker when the plugin server is slow, and tells nobody. A request that has passed
`access` reaches `log` when it is over; those that began a while ago and have not come are missing.
"""

from collections import deque


class LogGap:
    """Compares what had begun `grace_seconds` ago with what has been logged by now."""

    def __init__(self, grace_seconds: float = 120.0) -> None:
        self._grace = grace_seconds
        self._samples: deque[tuple[float, int]] = deque()
        self._begun_before = 0

    def sample(self, now: float, begun: int) -> None:
        """Note how many requests have begun in all; called about once a second."""
        self._samples.append((now, begun))
        while self._samples and self._samples[0][0] <= now - self._grace:
            self._begun_before = self._samples.popleft()[1]

    def missing(self, logged: int, logged_after_access: int) -> tuple[int, int]:
        """Return (at least, at most) how many have not been logged.

        Some log events are of requests that never came to `access` (a refused key, no route), and Kong does not say
        which; the truth lies between counting all of them and counting only those that certainly did.
        """
        return max(0, self._begun_before - logged), max(0, self._begun_before - logged_after_access)
