"""Read raw events wherever they lie, in the order of their key."""

import heapq
from collections.abc import Generator, Iterable
from contextlib import closing

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.metering.rows import EventKey, EventRow
from tollkeeper.metering.stores.archive import Selection, Stretch, archive_of, visible_moves
from tollkeeper.metering.tables import StoredEvent


def with_archived(session: Session, rows: Iterable[EventRow], wanted: Selection) -> Iterable[EventRow]:
    """Return rows of a statement that has run, merged with those of the archive; without one, just the rows.

    The statement runs first: what a move takes away after it, is in both, and given once.
    """
    archive = archive_of(session)
    if archive is None:
        return rows
    visible = visible_moves(session)
    return _merged(rows, archive.rows(wanted, visible)) if visible.newest else rows


def _merged(rows: Iterable[EventRow], archived: Iterable[EventRow]) -> Generator[EventRow]:
    last: tuple[int, int, bytes] | None = None
    for row in heapq.merge(rows, archived, key=_key):
        key = _key(row)
        if key != last:
            yield row
        last = key


def _key(row: EventRow) -> tuple[int, int, bytes]:
    return row[0], row[1], row[2]


def first_and_last_us(session: Session) -> tuple[int, int] | None:
    """Return the times of the first and the last event, None if there is none."""
    first, last = session.execute(select(func.min(StoredEvent.time_us), func.max(StoredEvent.time_us))).one()
    here = [] if first is None else [(first, last)]
    archive = archive_of(session)
    if archive is not None and (visible := visible_moves(session)).newest:
        there = archive.bounds(visible)
        here += [] if there is None else [there]
    return (min(first for first, _ in here), max(last for _, last in here)) if here else None


def get_row(session: Session, key: EventKey) -> EventRow | None:
    """Return the row under a key, None if there is none."""
    found = session.get(StoredEvent, tuple(key))
    here = [] if found is None else [EventRow(*key, found.set_id, found.id_text, found.payload)]
    within = [Stretch(key.time_us, key.time_us + 1)]
    wanted = Selection(within=within, source_id=key.source_id, id_key=key.id_key)
    rows = (row for row in with_archived(session, here, wanted))
    with closing(rows):
        return next(rows, None)
