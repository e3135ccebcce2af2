"""From when on events are taken, and from when on their raw rows are all there; docs/adr/0012 says why two bounds."""

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict
from tollkeeper.metering.digests import DAY_US
from tollkeeper.metering.event import instant_of, microseconds_of
from tollkeeper.metering.keeping_tables import RetentionBound
from tollkeeper.metering.rows import EventRow
from tollkeeper.storage.upsert import insert_into, is_postgresql

# The bound is at least so far back: a batch without older events need not ask for it.
NEVER_REFUSED = timedelta(days=1)
TURN = zlib.crc32(b"retention_bound")


class RawEventsDropped(Conflict):
    """The answer needs raw events that retention has dropped."""

    code = "raw_events_dropped"


def too_old(session: Session, rows: Sequence[EventRow], *, now: datetime) -> dict[int, str]:
    """Return the places of rows that are older than what is taken, with the reason.

    It asks only if a row is older than a day. Then the bound stays where it is until this transaction ends.
    """
    if not rows or min(rows)[0] >= microseconds_of(now - NEVER_REFUSED):
        return {}
    if is_postgresql(session):
        session.execute(text("SELECT pg_advisory_xact_lock_shared(:turn)"), {"turn": TURN})
    first = session.scalar(select(RetentionBound.accept_from))
    if first is None:
        return {}
    day = instant_of(first * DAY_US).date()
    reason = f"/time: is before {day}: raw events of then may have been dropped, and a repeat could not be told"
    return {place: reason for place, row in enumerate(rows) if row.time_us < first * DAY_US}


def raise_accept_from(session: Session, day: int) -> int:
    """Refuse events of days before this one from now on; return the bound, which never goes back.

    On PostgreSQL it waits for batches with old events that are being stored.
    """
    if is_postgresql(session):
        session.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": TURN})
    row = session.get(RetentionBound, 1)
    if row is None:
        session.execute(insert_into(session, RetentionBound).values(id=1, accept_from=day, dropped_until=-(10**6)))
        return day
    row.accept_from = max(row.accept_from, day)
    session.flush()
    return row.accept_from


def raise_dropped_until(session: Session, day: int) -> None:
    """Say that raw events of days before this one may be gone."""
    row = session.get_one(RetentionBound, 1)
    assert day <= row.accept_from
    row.dropped_until = max(row.dropped_until, day)
    session.flush()


def raw_from_us(session: Session) -> int | None:
    """Return from when on all raw events are there, in microseconds since 1970; None: all are."""
    day = session.scalar(select(RetentionBound.dropped_until))
    return None if day is None else day * DAY_US


def require_raw(session: Session, start_us: int) -> None:
    """Raise RawEventsDropped if raw events from this instant on may be gone: a part must not pass for the whole."""
    first_us = raw_from_us(session)
    if first_us is not None and start_us < first_us:
        day = instant_of(first_us).date()
        raise RawEventsDropped(
            f"raw events before {day} were dropped (retention), and this has to read them; begin at {day} or later, "
            "or ask a meter with totals for whole hours"
        )
