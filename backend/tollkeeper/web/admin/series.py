"""Days of usage for charts: totals by day, of everybody or of some customers, cut by a dimension."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from tollkeeper.metering.measure import Question
from tollkeeper.metering.windows import Window
from tollkeeper.usage.series import query_for

DAY = timedelta(days=1)
MOST_SERIES = 6


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart: a number for each day."""

    name: str
    numbers: tuple[Decimal, ...]

    @property
    def total(self) -> Decimal:
        """Return the sum of the days."""
        return sum(self.numbers, Decimal(0))


def last_days(now: datetime, count: int) -> list[Window]:
    """Return the last days in UTC, today the last."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return [Window(today - DAY * back, today - DAY * (back - 1)) for back in range(count - 1, -1, -1)]


def series_by_day(
    session: Session, question: Question, days: Sequence[Window], *, customer_ids: Sequence[str] | None = None
) -> list[Series]:
    """Return a series for each group of the question, the largest first; an empty list if there is no usage."""
    position = {day.start: index for index, day in enumerate(days)}
    found: dict[str, list[Decimal]] = {}
    for row in query_for(session, question, customer_ids, days):
        if row.event_count:
            name = " ".join(part or "none" for part in row.group) or question.meter.name
            numbers = found.setdefault(name, [Decimal(0)] * len(days))
            numbers[position[row.start]] += row.quantity or Decimal(0)
    return rank(Series(name, tuple(numbers)) for name, numbers in found.items())


def rank(series: Iterable[Series]) -> list[Series]:
    """Return the largest series first; those after the largest few are folded into one."""
    ranked = sorted(series, key=lambda one: (-one.total, one.name))
    if len(ranked) <= MOST_SERIES:
        return ranked
    shown, rest = ranked[: MOST_SERIES - 1], ranked[MOST_SERIES - 1 :]
    sums = tuple(sum(numbers, Decimal(0)) for numbers in zip(*(one.numbers for one in rest), strict=True))
    return [*shown, Series(f"{len(rest)} others", sums)]
