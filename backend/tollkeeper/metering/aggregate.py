"""Fold the values of events into one number, exactly; pure."""

from decimal import ROUND_HALF_UP, Context, Decimal

from tollkeeper.metering.meters import Aggregation
from tollkeeper.money import EXACT

# An average may have no end; it is for looking at, not for billing.
AVERAGE = Context(prec=28, rounding=ROUND_HALF_UP)


class Aggregate:
    """The fold of one group; `add` in order of time, so that the latest value is the last."""

    __slots__ = ("_aggregation", "event_count", "extreme", "latest", "seen", "total")

    def __init__(self, aggregation: str) -> None:
        self._aggregation = aggregation
        self.event_count = 0
        self.total = Decimal(0)
        self.extreme: Decimal | None = None
        self.latest: tuple[int, Decimal] | None = None
        self.seen: set[str] = set()

    def add(self, value: Decimal | str, time_us: int) -> None:
        """Take the value of one event: a number, or a text whose distinct values are counted."""
        if isinstance(value, str):
            self.add_text(value)
        else:
            self.add_number(value, time_us)

    def add_number(self, number: Decimal, time_us: int) -> None:
        """Take the value of one event."""
        self.event_count += 1
        self.total = EXACT.add(self.total, number)
        if self.extreme is None:
            self.extreme = number
        elif self._aggregation == Aggregation.MIN:
            self.extreme = min(self.extreme, number)
        else:
            self.extreme = max(self.extreme, number)
        if self.latest is None or time_us >= self.latest[0]:
            self.latest = (time_us, number)

    def add_text(self, text: str) -> None:
        """Take the value of one event whose distinct values are counted."""
        self.event_count += 1
        self.seen.add(text)

    def add_total(self, total: Decimal, event_count: int) -> None:
        """Take what many events come to; for sums and counts alone."""
        self.total = EXACT.add(self.total, total)
        self.event_count += event_count

    def merge(self, other: "Aggregate") -> None:
        """Take what another fold of the same meter took: the number is as if there had been one fold."""
        self.event_count += other.event_count
        self.total = EXACT.add(self.total, other.total)
        self.seen |= other.seen
        if other.extreme is not None:
            keep = min if self._aggregation == Aggregation.MIN else max
            self.extreme = other.extreme if self.extreme is None else keep(self.extreme, other.extreme)
        if other.latest is not None and (self.latest is None or other.latest[0] >= self.latest[0]):
            self.latest = other.latest

    def quantity(self) -> Decimal | None:
        """Return the number; None where no event means no number (min, max, avg, latest)."""
        match self._aggregation:
            case Aggregation.SUM:
                return self.total
            case Aggregation.COUNT:
                return Decimal(self.event_count)
            case Aggregation.UNIQUE_COUNT:
                return Decimal(len(self.seen))
            case Aggregation.AVG:
                return AVERAGE.divide(self.total, Decimal(self.event_count)) if self.event_count else None
            case Aggregation.LATEST:
                return self.latest[1] if self.latest else None
            case _:
                return self.extreme
