"""Accept events: store the ones that we have not seen, count them, say which were new. One transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Text, cast, func, select, tuple_
from sqlalchemy.orm import Session

from tollkeeper.metering import store_postgresql, store_sqlite
from tollkeeper.metering.digests import keep_digests
from tollkeeper.metering.dimensions import Split, content_of, join_data, split_data
from tollkeeper.metering.event import (
    ANONYMOUS,
    Event,
    EventRefused,
    Rejection,
    check_event,
    latest_us,
    microseconds_of,
    time_us_of,
)
from tollkeeper.metering.numbers import SetKey, number_sets, number_sources
from tollkeeper.metering.rows import EventRow, StoredAlready, key_of_id
from tollkeeper.metering.tables import DimensionSet, EventBatch, OddTotal, UntimedEvent
from tollkeeper.metering.totals import HOUR_US, count_rows
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.upsert import insert_ignoring, is_postgresql

CONFLICT = "/id: an event with this source and id is stored with another content"
TIME_CONFLICT = "/time: an event with this source and id came in this request with another time"
CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch; accepted + duplicates + rejected is its size."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejection, ...]


class Prepared(NamedTuple):
    """An event that is right in itself, cut for storing."""

    position: int
    event: Event
    time_us: int | None
    set_key: SetKey
    split: Split


def accept_events(session: Session, events: Sequence[Event], *, now: datetime) -> Accepted:
    """Store the events that we have not seen; say which were new.

    The gateway repeats a batch until it is answered, so the same event may arrive many times, also from two
    processes at once. The unique key decides; a repeat is no error unless its content differs. `data.latency_ms`
    takes no part in that comparison.
    """
    rejected: list[Rejection] = []
    prepared, repeats = _drop_repeats(_prepare(events, rejected, now), rejected)
    if not prepared:
        return Accepted(0, repeats, tuple(rejected))
    rows, subject_of_set = _number(session, prepared, now)
    engine = _engine(session)
    present = engine.append_events(session, rows)
    new: list[tuple[EventRow, Prepared]] = []
    for row, one in zip(rows, prepared, strict=True):
        if row.key not in present:
            new.append((row, one))
        elif _differs(session, present[row.key], row, one):
            rejected.append(Rejection(one.position, one.event.id, CONFLICT))
        else:
            repeats += 1
    if new:
        _count(session, new, subject_of_set, now)
    rejected.sort(key=lambda rejection: rejection.index)
    return Accepted(len(new), repeats, tuple(rejected))


def _prepare(events: Sequence[Event], rejected: list[Rejection], now: datetime) -> list[Prepared]:
    prepared = []
    latest = latest_us(now)
    for index, event in enumerate(events):
        try:
            check_event(event)
            time_us = time_us_of(event, latest=latest)
            split = split_data(event.type, event.data)
        except EventRefused as refusal:
            rejected.append(Rejection(index, event.id, str(refusal)))
            continue
        key = SetKey(event.type, event.subject or ANONYMOUS, split.dimensions, split.measured)
        prepared.append(Prepared(index, event, time_us, key, split))
    return prepared


def _drop_repeats(prepared: list[Prepared], rejected: list[Rejection]) -> tuple[list[Prepared], int]:
    """Keep the first of each (source, id); count its repeats, reject those that differ."""
    first: dict[tuple[str, str], Prepared] = {}
    repeats = 0
    for one in prepared:
        earlier = first.setdefault((one.event.source, one.event.id), one)
        if earlier is one:
            continue
        if earlier.time_us != one.time_us:
            rejected.append(Rejection(one.position, one.event.id, TIME_CONFLICT))
        elif earlier.set_key != one.set_key or _content(earlier) != _content(one):
            rejected.append(Rejection(one.position, one.event.id, CONFLICT))
        else:
            repeats += 1
    return list(first.values()), repeats


def _content(one: Prepared) -> bytes:
    return content_of(one.event.type, one.event.data)


def _number(session: Session, prepared: Sequence[Prepared], now: datetime) -> tuple[list[EventRow], dict[int, int]]:
    """Return the rows, and the subject's number by the number of its dimension set."""
    sources = number_sources(session, {one.event.source for one in prepared})
    numbers = number_sets(session, [one.set_key for one in prepared], now=now)
    rows = []
    for one, number in zip(prepared, numbers, strict=True):
        event = one.event
        id_key, id_text = key_of_id(event.id)
        rows.append(
            EventRow(one.time_us or 0, sources[event.source], id_key, number.set_id, id_text, one.split.payload)
        )
    untimed = [place for place, one in enumerate(prepared) if one.time_us is None]
    if untimed:
        times = _times_of_untimed(session, [rows[place] for place in untimed], now)
        for place in untimed:
            rows[place] = rows[place]._replace(time_us=times[rows[place].source_id, rows[place].id_key])
    return rows, dict(numbers)


def _times_of_untimed(session: Session, rows: list[EventRow], now: datetime) -> dict[tuple[int, bytes], int]:
    """Give each event without a time the present one, unless it came before: then the one that it was given."""
    rows = sorted(rows, key=lambda row: (row.source_id, row.id_key))
    arrival = microseconds_of(now)
    insert_ignoring(
        session,
        UntimedEvent,
        [{"source_id": row.source_id, "id_key": row.id_key, "time_us": arrival} for row in rows],
    )
    times: dict[tuple[int, bytes], int] = {}
    columns = (UntimedEvent.source_id, UntimedEvent.id_key)
    for start in range(0, len(rows), CHUNK):
        wanted = [(row.source_id, row.id_key) for row in rows[start : start + CHUNK]]
        found = session.execute(select(*columns, UntimedEvent.time_us).where(tuple_(*columns).in_(wanted)))
        times |= {(source_id, bytes(id_key)): time_us for source_id, id_key, time_us in found}
    return times


def _engine(session: Session) -> ModuleType:
    return store_postgresql if is_postgresql(session) else store_sqlite


def _differs(session: Session, present: StoredAlready, row: EventRow, one: Prepared) -> bool:
    """Say whether a repeat has another content; sets are equal if and only if their numbers are."""
    if present.set_id != row.set_id:
        return True
    if present.payload == row.payload:
        return False
    dimensions = session.get_one(DimensionSet, row.set_id).dimensions
    stored = join_data(one.event.type, dimensions, present.payload)
    return content_of(one.event.type, stored) != _content(one)


def _count(
    session: Session,
    new: Sequence[tuple[EventRow, Prepared]],
    subject_of_set: Mapping[int, int],
    now: datetime,
) -> None:
    batch = EventBatch(
        transaction_id=_transaction_id(session),
        received_at=now,
        events=len(new),
        subject_ids=sorted({subject_of_set[row.set_id] for row, _ in new}),
    )
    session.add(batch)
    session.flush()
    totals = count_rows((row, one.split.counts) for row, one in new)
    _engine(session).add_totals(session, totals, part=batch.id)
    keep_digests(session, batch.id, ((row, one.event.source, one.set_key) for row, one in new), subject_of_set, now=now)
    session.add_all(
        OddTotal(id=new_id("odd"), set_id=row.set_id, hour=row.time_us // HOUR_US, column=column, amount=amount)
        for row, one in new
        for column, amount in one.split.odd
    )
    session.flush()


def _transaction_id(session: Session) -> ColumnElement[int]:
    """Return what orders batches for `touched_subjects`: SQLite's writers are in one row, PostgreSQL's are not."""
    if is_postgresql(session):
        return cast(cast(func.pg_current_xact_id(), Text), BigInteger)
    return select(func.coalesce(func.max(EventBatch.transaction_id), 0) + 1).scalar_subquery()
