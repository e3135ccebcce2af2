"""Compare the digests of days and subjects with those that were kept at accept time."""

from collections.abc import Iterator, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.metering.digest_tables import EventDigest
from tollkeeper.metering.digests import (
    MODULUS_MASK,
    NOTHING,
    DigestKey,
    DigestSum,
    digests_of_day,
    sum_by_subject,
    unfolded_sums,
)
from tollkeeper.metering.findings import Finding, Kind, Range, Verified
from tollkeeper.metering.keeping_tables import DroppedDay


class DayCheck:
    """Sums digests of one day at a time and compares them with those that were kept."""

    def __init__(self, session: Session, wanted: Range, names: Mapping[int, str], done: Verified) -> None:
        self._session = session
        self._names = names
        self._done = done
        self._is_whole = wanted.subjects is None
        self._parts = unfolded_sums(session)
        self._dropped = {row.day: row for row in session.scalars(select(DroppedDay))}
        days = set(session.scalars(select(EventDigest.day).distinct())) | {key.day for key in self._parts}
        self._kept_days = sorted((day for day in days if wanted.first_day <= day < wanted.end_day), reverse=True)
        self._day = wanted.first_day
        self._counts: dict[int, int] = {}
        self._totals: dict[int, int] = {}

    def add(self, subject_id: int, digest: int) -> None:
        """Add an event of the present day."""
        self._counts[subject_id] = self._counts.get(subject_id, 0) + 1
        self._totals[subject_id] = self._totals.get(subject_id, 0) + digest

    def up_to(self, day: int) -> Iterator[Finding]:
        """Go on to this day; compare the days before it."""
        if day == self._day:
            return
        while self._kept_days and self._kept_days[-1] < min(day, self._day):
            yield from self._compare(self._kept_days.pop(), {})
        if self._counts:
            found = {
                subject_id: DigestSum(count, self._totals[subject_id] & MODULUS_MASK)
                for subject_id, count in self._counts.items()
            }
            if self._kept_days and self._kept_days[-1] == self._day:
                self._kept_days.pop()
            yield from self._compare(self._day, found)
            self._counts, self._totals = {}, {}
        while self._kept_days and self._kept_days[-1] < day:
            yield from self._compare(self._kept_days.pop(), {})
        self._day = day

    def _compare(self, day: int, found: Mapping[int, DigestSum]) -> Iterator[Finding]:
        if day in self._dropped and not found:
            self._done.dropped_days += 1
            self._done.dropped_events += self._dropped[day].events
            return
        digests = digests_of_day(self._session, day, self._parts)
        kept = sum_by_subject(digests)
        self._count_late(digests)
        for subject_id in sorted(kept.keys() | found.keys()):
            name = self._names.get(subject_id)
            if name is None and not self._is_whole:
                continue
            self._done.subject_days += 1
            before, now = kept.get(subject_id, NOTHING), found.get(subject_id, NOTHING)
            if before != now:
                yield _difference(day, name or f"subject number {subject_id}", before, now)

    def _count_late(self, digests: Mapping[DigestKey, DigestSum]) -> None:
        for key, one in digests.items():
            if key.arrived_day > key.day and (self._is_whole or key.subject_id in self._names):
                place = (key.day, key.arrived_day)
                self._done.late[place] = self._done.late.get(place, 0) + one.events


def _difference(day: int, subject: str, kept: DigestSum, found: DigestSum) -> Finding:
    numbers = f"{kept.events} events were accepted, {found.events} are there"
    if found.events < kept.events:
        return Finding(Kind.LOST, day, subject, numbers)
    if found.events > kept.events:
        return Finding(Kind.ADDED, day, subject, f"{numbers}; they did not come through the API")
    return Finding(Kind.CHANGED, day, subject, f"all {found.events} events are there, but not as they were accepted")
