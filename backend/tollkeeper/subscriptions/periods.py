"""Calendar periods, pure: half-open, computed in a time zone, counted from an anchor that keeps its day.

The n-th boundary is always computed from the anchor, never from the boundary before it, so 31 January
monthly gives 28 or 29 February, then 31 March. A wall time that a clock change skips is read with the
offset before the change; one that happens twice is its first occurrence (PEP 495, fold 0).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from tollkeeper.errors import InvalidInput

CADENCE = re.compile(r"P([1-9][0-9]{0,2})([DWMY])")
MICROSECOND = timedelta(microseconds=1)
MEAN_SECONDS = {"D": 86_400, "W": 604_800, "M": 2_629_746, "Y": 31_556_952}


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open stretch of time, `[start, end)`, in UTC."""

    start: datetime
    end: datetime

    def contains(self, instant: datetime) -> bool:
        """Tell whether the instant is inside; the end is not."""
        return self.start <= instant < self.end

    def overlap(self, start: datetime, end: datetime | None) -> "Period | None":
        """Return the part inside `[start, end)`, or None if nothing of it is."""
        begin = max(self.start, start)
        finish = self.end if end is None else min(self.end, end)
        return Period(begin, finish) if begin < finish else None

    def without(self, others: "Iterable[Period]") -> "list[Period]":
        """Return what is left of this period outside the others, in order."""
        left = [self]
        for other in others:
            left = [
                piece
                for one in left
                for piece in (
                    Period(one.start, min(one.end, other.start)),
                    Period(max(one.start, other.end), one.end),
                )
                if piece.start < piece.end
            ]
        return left

    def share_of(self, whole: "Period") -> Fraction:
        """Return this period's length over that of the whole one, in elapsed time (docs/money.md, Proration)."""
        return Fraction((self.end - self.start) // MICROSECOND, (whole.end - whole.start) // MICROSECOND)


@cache
def time_zone_of(name: str) -> ZoneInfo:
    """Return the zone of an IANA name; raises InvalidInput for anything else."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise InvalidInput.of("/time_zone", f"{name!r} is no IANA time zone; write it like 'Europe/Berlin'") from None


def period_at(anchor: datetime, cadence: str, time_zone: str, instant: datetime) -> Period:
    """Return the one period that holds the instant, also when it is before the anchor."""
    index = _index_at(anchor, cadence, time_zone, instant)
    return Period(boundary(anchor, cadence, time_zone, index), boundary(anchor, cadence, time_zone, index + 1))


def periods_between(anchor: datetime, cadence: str, time_zone: str, start: datetime, end: datetime) -> Iterator[Period]:
    """Yield the whole periods that overlap `[start, end)`, in order, without gap or overlap."""
    if start >= end:
        return
    period = period_at(anchor, cadence, time_zone, start)
    while period.start < end:
        yield period
        period = period_at(anchor, cadence, time_zone, period.end)


def shift(instant: datetime, cadence: str, time_zone: str) -> datetime:
    """Return the instant one cadence later by the calendar: the length of a phase or a trial."""
    return boundary(instant, cadence, time_zone, 1)


@lru_cache(maxsize=1 << 16)
def boundary(anchor: datetime, cadence: str, time_zone: str, index: int) -> datetime:
    """Return the index-th boundary in UTC; the 0-th is the anchor itself."""
    if index == 0:
        return anchor.astimezone(UTC)
    zone = time_zone_of(time_zone)
    count, unit = _parse(cadence)
    steps = count * index
    wall = anchor.astimezone(zone).replace(tzinfo=None, fold=0) + _delta(unit, steps)
    return wall.replace(tzinfo=zone).astimezone(UTC)


def mean_seconds(cadence: str) -> int:
    """Return a cadence's mean length, to compare cadences with each other; no period is computed from it."""
    count, unit = _parse(cadence)
    return count * MEAN_SECONDS[unit]


def _index_at(anchor: datetime, cadence: str, time_zone: str, instant: datetime) -> int:
    """Return the greatest index whose boundary is not after the instant.

    The greatest one: where a zone skips a whole calendar day (Samoa, 30 December 2011) two boundaries
    of a daily cadence fall on one instant, and the empty period between them holds nothing.
    """
    count, unit = _parse(cadence)
    index = int((instant - anchor).total_seconds()) // (count * MEAN_SECONDS[unit])
    while boundary(anchor, cadence, time_zone, index) > instant:
        index -= 1
    while boundary(anchor, cadence, time_zone, index + 1) <= instant:
        index += 1
    return index


def _delta(unit: str, steps: int) -> relativedelta:
    if unit == "D":
        return relativedelta(days=steps)
    if unit == "W":
        return relativedelta(weeks=steps)
    if unit == "M":
        return relativedelta(months=steps)
    return relativedelta(years=steps)


@cache
def _parse(cadence: str) -> tuple[int, str]:
    match = CADENCE.fullmatch(cadence)
    if match is None:
        raise InvalidInput.of("/billing_cadence", f"{cadence!r} is no cadence; write P1D, P1W, P1M, P3M or P1Y")
    return int(match[1]), match[2]
