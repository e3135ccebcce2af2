"""Drop the raw events of old days; digests and totals stay, and say what an export must come to."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from tollkeeper.metering.digests import DAY_US, DIGEST_BYTES, DigestSum, unfolded_sums
from tollkeeper.metering.event_days import empty_day
from tollkeeper.metering.export_days import sum_of_day, sums_by_day
from tollkeeper.metering.findings import Finding, Kind, Range
from tollkeeper.metering.keeping_tables import DroppedDay, EventExport
from tollkeeper.metering.retention_bound import raise_dropped_until
from tollkeeper.metering.tables import HourlyTotal, StoredEvent


def days_to_drop(session: Session, end_day: int) -> list[int]:
    """Return the days before this one whose raw events are still there, oldest first."""
    dropped = set(session.scalars(select(DroppedDay.day)))
    first_us = session.scalar(select(func.min(StoredEvent.time_us)))
    first_day = end_day if first_us is None else first_us // DAY_US
    return [day for day, _ in sums_by_day(session, Range(first_day, end_day)) if day not in dropped]


def give_up_day(session: Session, day: int, *, only_exported: bool) -> str | None:
    """Say from now on that a day's raw events may be gone; return why not, if not.

    A day that is not as it was accepted stays: it is evidence. With `only_exported`, so does one whose last export is
    not what the store holds of it now.
    """
    kept = sum_of_day(session, day, unfolded_sums(session))
    there = session.scalar(select(func.count()).select_from(StoredEvent).where(*_in_day(day)))
    if there != kept.events:
        return f"{kept.events} events were accepted and {there} are there; run `tollkeeper events verify`"
    if only_exported and not _is_exported(session, day, kept):
        return "it is not exported as it is; run `tollkeeper events export FOLDER --format parquet`"
    raise_dropped_until(session, day + 1)
    return None


def drop_day(session: Session, day: int, *, now: datetime) -> None:
    """Drop the raw events of a day that `give_up_day` gave up, in a transaction that was committed."""
    kept = sum_of_day(session, day, unfolded_sums(session))
    is_exported = _is_exported(session, day, kept)
    if not empty_day(session, day):
        session.execute(delete(StoredEvent).where(*_in_day(day)))
    digest = kept.total.to_bytes(DIGEST_BYTES, "big")
    session.add(DroppedDay(day=day, events=kept.events, digest=digest, is_exported=is_exported, dropped_at=now))
    session.flush()


def _in_day(day: int) -> tuple[ColumnElement[bool], ...]:
    return (StoredEvent.time_us >= day * DAY_US, StoredEvent.time_us < (day + 1) * DAY_US)


def _is_exported(session: Session, day: int, kept: DigestSum) -> bool:
    export = session.get(EventExport, day)
    digest = kept.total.to_bytes(DIGEST_BYTES, "big")
    return export is not None and (export.events, export.digest) == (kept.events, digest)


def dropped_days(session: Session) -> dict[int, DroppedDay]:
    """Return the days whose raw events were dropped."""
    return {row.day: row for row in session.scalars(select(DroppedDay))}


def check_dropped(session: Session, wanted: Range) -> Iterator[Finding]:
    """Yield the dropped days whose digest or number of counted events is not what it was when they were dropped."""
    parts = unfolded_sums(session)
    for day, row in sorted(dropped_days(session).items()):
        if not wanted.first_day <= day < wanted.end_day:
            continue
        kept = sum_of_day(session, day, parts)
        if (kept.events, kept.total.to_bytes(DIGEST_BYTES, "big")) != (row.events, row.digest):
            yield Finding(Kind.CHANGED, day, None, "the digest is not the one with which the raw events were dropped")
        hours = (HourlyTotal.hour >= day * 24, HourlyTotal.hour < (day + 1) * 24)
        counted = session.scalar(select(func.coalesce(func.sum(HourlyTotal.events), 0)).where(*hours))
        if counted != row.events:
            yield Finding(Kind.TOTAL, day, None, f"totals count {counted} events, {row.events} were dropped")
