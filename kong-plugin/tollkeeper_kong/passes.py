"""What a node let pass since the backend last said what is used: the count-down between two snapshots.

Passes leave the count in the order in which they came: as many as `used` has risen by, since those are in it now; and
those that a snapshot must have seen and did not count, such as failed calls under a limit on successful ones.
"""

from tollkeeper_kong.snapshot import Amount, Limit

SETTLE_SECONDS = 10
"""By then a pass is spooled, shipped, stored and in the feed; if it is not in `used`, it does not count."""
MOST_BUCKETS = 64


class Passes:
    """Own passes under one limit, by the second. For one thread."""

    __slots__ = ("_buckets", "_counted", "limit", "room", "total")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.total = 0
        self.room = _room_of(limit)
        self._counted = limit.used  # the most that the feed has said of this period
        self._buckets: list[int] = []  # second, count, second, count, ...: small, for there may be many of these

    def add(self, second: int) -> None:
        """Count a pass."""
        buckets = self._buckets
        self.total += 1
        if buckets and buckets[-2] == second:
            buckets[-1] += 1
            return
        buckets += (second, 1)
        if len(buckets) > 2 * MOST_BUCKETS:  # the backend is away for long: its oldest seconds become one
            buckets[3] += buckets[1]
            del buckets[:2]

    def follow(self, limit: Limit) -> None:
        """Take the limit as a newer snapshot has it: what `used` has risen by is no longer ours to count."""
        if limit is self.limit:
            return
        if limit.resets_at != self.limit.resets_at:
            self._counted = 0
        self._remove_oldest(limit.used - self._counted)
        self._counted = max(self._counted, limit.used)
        self.limit = limit
        self.room = _room_of(limit)

    def forget_before(self, second: float) -> None:
        """Drop passes that the last snapshot must have seen."""
        buckets = self._buckets
        while buckets and buckets[0] < second:
            self.total -= buckets[1]
            del buckets[:2]

    def is_spent(self) -> bool:
        """Whether the limit is reached, own passes counted."""
        return self.total >= self.room

    def _remove_oldest(self, count: Amount) -> None:
        buckets = self._buckets
        left = int(count)
        while buckets and left > 0:
            removed = min(left, buckets[1])
            left -= removed
            self.total -= removed
            buckets[1] -= removed
            if not buckets[1]:
                del buckets[:2]


def _room_of(limit: Limit) -> Amount:
    """Return how many may pass until the limit is reached, by the feed's own count."""
    assert limit.terms.limit is not None, "only a limit with a number counts down"
    return limit.terms.limit - limit.used
