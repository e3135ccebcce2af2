"""Accept events: store the ones that we have not seen, count them, say which were new. One transaction."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from types import ModuleType
from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Text, cast, func, insert, select, tuple_
from sqlalchemy.orm import Session

from tollkeeper.metering import store_postgresql, store_sqlite
from tollkeeper.metering.digests import Stored, keep_digests
from tollkeeper.metering.dimensions import content_of, join_data
from tollkeeper.metering.event import Event, Rejection, microseconds_of
from tollkeeper.metering.numbers import number_sets, number_sources
from tollkeeper.metering.prepare import CONFLICT, Preparation, Prepared, content_of_prepared, prepare_events
from tollkeeper.metering.retention_bound import too_old
from tollkeeper.metering.rows import EventKey, EventRow, StoredAlready, keys_of_ids
from tollkeeper.metering.stores.append import append_events
from tollkeeper.metering.tables import DimensionSet, EventBatch, OddTotal, UntimedEvent
from tollkeeper.metering.totals import HOUR_US, count_rows
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.upsert import insert_ignoring, is_postgresql, table_of

CHUNK = 5_000
# Without the ORM's own way to insert, which costs as much as a hundred events.
BATCHES = table_of(EventBatch)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch; accepted + duplicates + rejected is its size."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejection, ...]


class Outcome(NamedTuple):
    """What became of prepared events: how many were new, the positions of repeats, and what was refused."""

    accepted: int
    repeated: list[int]
    rejected: list[Rejection]


def accept_events(session: Session, events: Sequence[Event], *, now: datetime) -> Accepted:
    """Store the events that we have not seen; say which were new.

    The gateway repeats a batch until it is answered, so the same event may arrive many times, also from two
    processes at once. The unique key decides; a repeat is no error unless its content differs. `data.latency_ms`
    takes no part in that comparison.
    """
    return store_events(session, prepare_events(events, now=now), now=now)


def store_events(session: Session, preparation: Preparation, *, now: datetime) -> Accepted:
    """Do the same for events that `prepare_events` has looked at, which needs no transaction."""
    outcome = _store(session, preparation.prepared, now)
    rejected = sorted((*preparation.rejected, *outcome.rejected), key=lambda rejection: rejection.index)
    return Accepted(outcome.accepted, preparation.repeats + len(outcome.repeated), tuple(rejected))


def _store(session: Session, prepared: Sequence[Prepared], now: datetime) -> Outcome:
    rejected: list[Rejection] = []
    repeated: list[int] = []
    if prepared:
        prepared, stored = _drop_mistaken(prepared, _number(session, prepared, now), rejected)
        prepared, stored = _refuse_old(session, prepared, stored, rejected, now=now)
    if prepared:
        present = append_events(session, stored.rows)
        if present:
            again = [place for place, row in enumerate(stored.rows) if row.key in present]
            for place in again:
                one, row = prepared[place], stored.rows[place]
                if _differs(session, present[row.key], row, one):
                    rejected.append(Rejection(one.position, one.event.id, CONFLICT))
                else:
                    repeated.append(one.position)
            prepared, stored = _without(prepared, stored, set(again))
    if prepared:
        _count(session, prepared, stored, now)
    return Outcome(len(prepared), repeated, rejected)


def store_group(session: Session, group: Sequence[Preparation], *, now: datetime) -> list[Accepted]:
    """Store the events of several requests in this transaction; each is answered as if they came one after another.

    Together they cost little more than one, unless an event is in two of them: then they are stored in turn.
    """
    keys = {(one.event.source, one.event.id) for preparation in group for one in preparation.prepared}
    if len(group) == 1 or len(keys) != sum(len(preparation.prepared) for preparation in group):
        return [store_events(session, preparation, now=now) for preparation in group]
    owners = [(number, one) for number, preparation in enumerate(group) for one in preparation.prepared]
    together = [Prepared(place, *one[1:]) for place, (_, one) in enumerate(owners)]
    outcome = _store(session, together, now)
    repeats = Counter(owners[place][0] for place in outcome.repeated)
    rejected = [list(preparation.rejected) for preparation in group]
    for rejection in outcome.rejected:
        number, one = owners[rejection.index]
        rejected[number].append(Rejection(one.position, rejection.id, rejection.error))
    answers = []
    for number, preparation in enumerate(group):
        refused = tuple(sorted(rejected[number], key=lambda rejection: rejection.index))
        again = repeats[number]
        new = len(preparation.prepared) - again - (len(refused) - len(preparation.rejected))
        answers.append(Accepted(new, preparation.repeats + again, refused))
    return answers


def _refuse_old(
    session: Session, prepared: Sequence[Prepared], stored: Stored, rejected: list[Rejection], *, now: datetime
) -> tuple[Sequence[Prepared], Stored]:
    """Leave out what is older than retention takes, with the reason."""
    refused = too_old(session, stored.rows, now=now)
    for place, reason in refused.items():
        rejected.append(Rejection(prepared[place].position, prepared[place].event.id, reason))
    return _without(prepared, stored, set(refused)) if refused else (prepared, stored)


def _drop_mistaken(
    prepared: Sequence[Prepared], stored: Stored, rejected: list[Rejection]
) -> tuple[Sequence[Prepared], Stored]:
    """Reject ids that are the hash of another of the batch, in hex: of two such rows the store keeps one.

    Nobody has such an id by chance.
    """
    if all(row.id_text is None for row in stored.rows):
        return prepared, stored
    first: dict[EventKey, int] = {}
    mistaken = {place for place, row in enumerate(stored.rows) if first.setdefault(row.key, place) != place}
    if not mistaken:
        return prepared, stored
    rejected += [Rejection(prepared[one].position, prepared[one].event.id, CONFLICT) for one in mistaken]
    return _without(prepared, stored, mistaken)


def _without(prepared: Sequence[Prepared], stored: Stored, left_out: set[int]) -> tuple[Sequence[Prepared], Stored]:
    kept = [place for place in range(len(prepared)) if place not in left_out]
    rows, sources, numbers = stored
    return [prepared[place] for place in kept], Stored(
        [rows[place] for place in kept], [sources[place] for place in kept], [numbers[place] for place in kept]
    )


def _number(session: Session, prepared: Sequence[Prepared], now: datetime) -> Stored:
    """Return the rows that the events make."""
    names = [one.event.source for one in prepared]
    numbered = number_sources(session, set(names))
    numbers = number_sets(session, [one.cut.set_key for one in prepared], now=now)
    id_keys, id_texts = keys_of_ids([one.event.id for one in prepared])
    columns = (
        [one.time_us or 0 for one in prepared],
        [numbered[name] for name in names],
        id_keys,
        [number.set_id for number in numbers],
        id_texts,
        [one.cut.payload for one in prepared],
    )
    # Without a Python frame for each: this is the inner loop of the door.
    rows = list(map(tuple.__new__, repeat(EventRow), zip(*columns, strict=True)))
    untimed = [place for place, one in enumerate(prepared) if one.time_us is None]
    if untimed:
        times = _times_of_untimed(session, [rows[place] for place in untimed], now)
        for place in untimed:
            rows[place] = rows[place]._replace(time_us=times[rows[place].source_id, rows[place].id_key])
    return Stored(rows, names, numbers)


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
    if (present.set_id, present.id_text) != (row.set_id, row.id_text):
        return True
    if present.payload == row.payload:
        return False
    dimensions = session.get_one(DimensionSet, row.set_id).dimensions
    stored = join_data(one.event.type, dimensions, present.payload)
    return content_of(one.event.type, stored) != content_of_prepared(one)


def _count(session: Session, new: Sequence[Prepared], stored: Stored, now: datetime) -> None:
    batch = insert(BATCHES).values(
        transaction_id=_transaction_id(session),
        received_at=now,
        events=len(new),
        subject_ids=sorted({number.subject_id for number in stored.numbers}),
    )
    batch_id: int = session.connection().execute(batch.returning(EventBatch.id)).scalar_one()
    totals = count_rows(stored.rows, [one.cut.counts for one in new])
    _engine(session).add_totals(session, totals, part=batch_id)
    keep_digests(session, batch_id, stored, now=now)
    odd = [
        OddTotal(id=new_id("odd"), set_id=row.set_id, hour=row.time_us // HOUR_US, column=column, amount=amount)
        for row, one in zip(stored.rows, new, strict=True)
        if one.cut.odd
        for column, amount in one.cut.odd
    ]
    if odd:
        session.add_all(odd)
        session.flush()


def _transaction_id(session: Session) -> ColumnElement[int]:
    """Return what orders batches for `touched_subjects`: SQLite's writers are in one row, PostgreSQL's are not."""
    if is_postgresql(session):
        return cast(cast(func.pg_current_xact_id(), Text), BigInteger)
    return select(func.coalesce(func.max(EventBatch.transaction_id), 0) + 1).scalar_subquery()
