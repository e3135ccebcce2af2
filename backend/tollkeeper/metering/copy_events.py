"""Copy events from one database to another, a day at a time, and prove by the digests that nothing else arrived.

What is kept about the copying is the copy itself: a day whose digests are equal on both sides is done, and an event
that is there already counts once. So a copy that was killed is simply run again.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Subject
from tollkeeper.errors import Conflict
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.digest_tables import EventDigest
from tollkeeper.metering.digests import DAY_US, NOTHING, DigestSum, digests_of_day, sum_by_subject, unfolded_sums
from tollkeeper.metering.event import Event, instant_of
from tollkeeper.metering.listing import EventFilter, EventPlace, ListedEvent, list_events
from tollkeeper.metering.numbers import number_sources
from tollkeeper.metering.read import source_names
from tollkeeper.metering.tables import UntimedEvent
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import insert_ignoring

PAGE = 2_000
CHUNK = 5_000
Progress = Callable[[int, int], None]


class Copied(NamedTuple):
    """How many days the source has, how many were the same already, and how many events were new to the target."""

    days: int
    same_days: int
    events: int


def copy_events(source: Database, target: Database, *, now: datetime, progress: Progress) -> Copied:
    """Copy what the target does not have; `progress` hears of each page: the day, and the events copied so far.

    Raises Conflict naming the day and subject where the target does not come to the digests that the source kept: an
    event was changed or lost there, or the target holds others. What was copied stays; a repeat changes nothing.
    """
    _copy_times_given(source, target)
    with source.snapshot() as session:
        days = _days(session)
    same, copied = 0, 0
    for day in days:
        if not _differences(source, target, day):
            same += 1
            continue
        for page in _pages(source, day):
            copied += _accept(target, page, now)
            progress(day, copied)
        wrong = _differences(source, target, day)
        if wrong:
            subject, (kept, found) = min(wrong.items())
            raise Conflict(
                f"{instant_of(day * DAY_US).date()}, {subject}: the source's digest is of {kept.events} events, "
                f"the copy holds {found.events}, and the digests differ; `tollkeeper events verify` both"
            )
    return Copied(len(days), same, copied)


def _days(session: Session) -> list[int]:
    folded = session.scalars(select(EventDigest.day).distinct())
    return sorted({*folded, *(key.day for key in unfolded_sums(session))})


def _differences(source: Database, target: Database, day: int) -> dict[str, tuple[DigestSum, DigestSum]]:
    """Return the digests of subjects that differ on a day, by name: the source's and the target's."""
    kept, found = _digests(source, day), _digests(target, day)
    return {
        subject: (kept.get(subject, NOTHING), found.get(subject, NOTHING))
        for subject in kept.keys() | found.keys()
        if kept.get(subject, NOTHING) != found.get(subject, NOTHING)
    }


def _digests(database: Database, day: int) -> Mapping[str, DigestSum]:
    with database.snapshot() as session:
        sums = sum_by_subject(digests_of_day(session, day, unfolded_sums(session)))
        numbers = sorted(sums)
        named: dict[str, DigestSum] = {}
        for start in range(0, len(numbers), CHUNK):
            chunk = Subject.id.in_(numbers[start : start + CHUNK])
            for number, subject in session.execute(select(Subject.id, Subject.subject).where(chunk)):
                named[subject] = sums[number]
        return named


def _pages(source: Database, day: int) -> Iterator[list[ListedEvent]]:
    wanted = EventFilter(start=instant_of(day * DAY_US), end=instant_of((day + 1) * DAY_US))
    after: EventPlace | None = None
    while True:
        with source.snapshot() as session:
            page = list_events(session, wanted, after=after, limit=PAGE)
        if not page:
            return
        yield page
        after = page[-1].place


def _accept(target: Database, page: list[ListedEvent], now: datetime) -> int:
    events = [
        Event(id=one.id, source=one.source, type=one.type, subject=one.subject, time=one.time, data=one.data)
        for one in page
    ]
    with target.transaction() as session:
        answer = accept_events(session, events, now=now)
    if answer.rejected:
        first = answer.rejected[0]
        raise Conflict(f"the target refuses event {first.id!r} of {page[first.index].source}: {first.error}")
    return answer.accepted


def _copy_times_given(source: Database, target: Database) -> None:
    """Copy which times were given to events that came without one, so that their repeats are known there, too."""
    with source.snapshot() as session:
        names = source_names(session)
        columns = (UntimedEvent.source_id, UntimedEvent.id_key, UntimedEvent.time_us)
        rows = session.execute(select(*columns).execution_options(yield_per=CHUNK))
        for chunk in rows.partitions():
            given = [(names[source_id], id_key, time_us) for source_id, id_key, time_us in chunk]
            with target.transaction() as writing:
                numbers = number_sources(writing, {name for name, _, _ in given})
                insert_ignoring(
                    writing,
                    UntimedEvent,
                    [{"source_id": numbers[n], "id_key": id_key, "time_us": time_us} for n, id_key, time_us in given],
                )
