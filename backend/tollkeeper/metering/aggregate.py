"""Fold the values of events into one number, exactly; pure."""

from decimal import ROUND_HALF_UP, Context, Decimal

from tollkeeper.metering.meters import Aggregation
from tollkeeper.money import EXACT

# An average may have no end; it is for looking at, not for billing.
AVERAGE = Context(prec=28, rounding=ROUND_HALF_UP)


class Aggregate:
    """The fold of one group; `add` in order of time, so that the latest value is the last."""

    __slots__ = ("_aggregation", "_extreme", "_latest", "_seen", "_total", "event_count")

    def __init__(self, aggregation: str) -> None:
        self._aggregation = aggregation
        self.event_count = 0
        self._total = Decimal(0)
        self._extreme: Decimal | None = None
        self._latest: tuple[int, Decimal] | None = None
        self._seen: set[str] = set()

    def add_number(self, number: Decimal, time_us: int) -> None:
        """Take the value of one event."""
        self.event_count += 1
        self._total = EXACT.add(self._total, number)
        if self._extreme is None:
            self._extreme = number
        elif self._aggregation == Aggregation.MIN:
            self._extreme = min(self._extreme, number)
        else:
            self._extreme = max(self._extreme, number)
        if self._latest is None or time_us >= self._latest[0]:
            self._latest = (time_us, number)

    def add_text(self, text: str) -> None:
        """Take the value of one event whose distinct values are counted."""
        self.event_count += 1
        self._seen.add(text)

    def add_total(self, total: Decimal, event_count: int) -> None:
        """Take what many events come to; for sums and counts alone."""
        self._total = EXACT.add(self._total, total)
        self.event_count += event_count

    def merge(self, other: "Aggregate") -> None:
        """Take what another fold of the same meter took: the number is as if there had been one fold."""
        self.event_count += other.event_count
        self._total = EXACT.add(self._total, other._total)
        self._seen |= other._seen
        if other._extreme is not None:
            keep = min if self._aggregation == Aggregation.MIN else max
            self._extreme = other._extreme if self._extreme is None else keep(self._extreme, other._extreme)
        if other._latest is not None and (self._latest is None or other._latest[0] >= self._latest[0]):
            self._latest = other._latest

    def quantity(self) -> Decimal | None:
        """Return the number; None where no event means no number (min, max, avg, latest)."""
        match self._aggregation:
            case Aggregation.SUM:
                return self._total
            case Aggregation.COUNT:
                return Decimal(self.event_count)
            case Aggregation.UNIQUE_COUNT:
                return Decimal(len(self._seen))
            case Aggregation.AVG:
                return AVERAGE.divide(self._total, Decimal(self.event_count)) if self.event_count else None
            case Aggregation.LATEST:
                return self._latest[1] if self._latest else None
            case _:
                return self._extreme
