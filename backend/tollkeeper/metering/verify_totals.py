"""Compare hourly totals with what the events of the hours come to."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.metering.findings import Finding, Kind, Range
from tollkeeper.metering.keeping_tables import DroppedDay
from tollkeeper.metering.read import SetFacts
from tollkeeper.metering.recount import COLUMNS, Hours
from tollkeeper.metering.tables import HourlyTotal, OddTotal
from tollkeeper.metering.totals import HOUR_US
from tollkeeper.money import EXACT

Columns = dict[str, int | Decimal]


class TotalsCheck:
    """Holds the counts of the present hour; compares an hour when the next one begins."""

    def __init__(self, session: Session, sets: Mapping[int, SetFacts], wanted: Range) -> None:
        self.hours: Hours = {}
        self._session = session
        self._sets = sets
        self._dropped = set(session.scalars(select(DroppedDay.day)))
        self._next_hour = wanted.first_day * 24

    def up_to(self, time_us: int) -> Iterator[Finding]:
        """Compare all hours before that of this time."""
        end = time_us // HOUR_US
        while self._next_hour < end:
            first = self._first_hour(end)
            if first is None:
                break
            self._next_hour = min(end, first + 24)
            yield from self._compare(first, self._next_hour)
        self._next_hour = max(self._next_hour, end)

    def _first_hour(self, end: int) -> int | None:
        """Return the first hour in [next, end) that has totals or events: years may lie between two."""
        hours = [hour for _, hour in self.hours]
        for column in (HourlyTotal.hour, OddTotal.hour):
            first = self._session.scalar(select(func.min(column)).where(column >= self._next_hour, column < end))
            hours += [] if first is None else [first]
        return min(hours, default=None)

    def _compare(self, first: int, end: int) -> Iterator[Finding]:
        kept = self._kept(first, end)
        found = {key: count.columns() for key, count in self.hours.items() if key[1] < end}
        for set_id, hour in sorted(kept.keys() | found.keys(), key=lambda key: (key[1], key[0])):
            facts = self._sets.get(set_id)
            if hour // 24 in self._dropped and (set_id, hour) not in found:
                continue
            differences = _differences(kept.get((set_id, hour), {}), found.get((set_id, hour), {}))
            if facts is not None and differences:
                named = f"hour {hour % 24:02}, dimension set {set_id}: {differences}"
                yield Finding(Kind.TOTAL, hour // 24, facts.subject, named)
        for key in found:
            del self.hours[key]

    def _kept(self, first: int, end: int) -> dict[tuple[int, int], Columns]:
        in_range = (HourlyTotal.hour >= first, HourlyTotal.hour < end)
        sums = [func.sum(getattr(HourlyTotal, name)) for name in COLUMNS[:-2]]
        query = (
            select(
                HourlyTotal.set_id,
                HourlyTotal.hour,
                *sums,
                func.min(HourlyTotal.first_us),
                func.max(HourlyTotal.last_us),
            )
            .where(*in_range)
            .group_by(HourlyTotal.set_id, HourlyTotal.hour)
        )
        kept: dict[tuple[int, int], Columns] = {}
        rows: Any = self._session.execute(query)
        for set_id, hour, *numbers in rows:
            kept[set_id, hour] = dict(zip(COLUMNS, (int(number) for number in numbers), strict=True))
        odd = select(OddTotal.set_id, OddTotal.hour, OddTotal.column, OddTotal.amount)
        for set_id, hour, column, amount in self._session.execute(
            odd.where(OddTotal.hour >= first, OddTotal.hour < end)
        ):
            columns = kept.setdefault((set_id, hour), {})
            columns[f"odd {column}"] = EXACT.add(Decimal(columns.get(f"odd {column}", 0)), amount)
        return kept


def _differences(kept: Columns, found: Columns) -> str:
    names = [*COLUMNS, *sorted((kept.keys() | found.keys()) - set(COLUMNS))]
    return ", ".join(
        f"{name} is {kept.get(name, 0)}, its events make {found.get(name, 0)}"
        for name in names
        if kept.get(name, 0) != found.get(name, 0)
    )
