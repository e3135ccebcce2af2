"""Proration by time: the elapsed part of a period, to the second, as an exact fraction."""

from datetime import datetime, timedelta
from fractions import Fraction

SECOND = timedelta(seconds=1)


def period_fraction(start: datetime, end: datetime, *, period_start: datetime, period_end: datetime) -> Fraction:
    """Return the part of the full period that lies in [start, end); 0 if they do not meet.

    All four are aware instants. A started second does not count: 0.9 s are 0 s.
    """
    full_seconds = (period_end - period_start) // SECOND
    if full_seconds <= 0:
        raise ValueError("a period ends at least a second after its start")
    elapsed = min(end, period_end) - max(start, period_start)
    return Fraction(max(0, elapsed // SECOND), full_seconds)
