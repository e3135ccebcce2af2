"""Store new rows: in the SQL database, unless they are in the archive already."""

from collections.abc import Sequence

from sqlalchemy import delete as delete_from
from sqlalchemy import tuple_
from sqlalchemy.orm import Session

from tollkeeper.metering import store_postgresql, store_sqlite
from tollkeeper.metering.rows import EventKey, EventRow, StoredAlready
from tollkeeper.metering.stores.archive import archive_of, visible_moves
from tollkeeper.metering.tables import StoredEvent
from tollkeeper.storage.upsert import is_postgresql

CHUNK = 5_000


def append_events(session: Session, rows: Sequence[EventRow]) -> dict[EventKey, StoredAlready]:
    """Store the rows whose keys are new; return what stands under the others.

    The archive is asked after the insert: an event that it holds had left the SQL database before, in a transaction
    that is over, so its move is done in our eyes; and while we hold its key, nobody else can insert it.
    """
    engine = store_postgresql if is_postgresql(session) else store_sqlite
    present: dict[EventKey, StoredAlready] = engine.append_events(session, rows)
    archive = archive_of(session)
    if archive is None:
        return present
    visible = visible_moves(session)
    new = [row.key for row in rows if row.key not in present]
    archived = archive.find(new, visible) if new and visible.newest else {}
    delete_rows(session, sorted(archived))
    return {**present, **archived}


def delete_rows(session: Session, keys: Sequence[EventKey]) -> int:
    """Take rows out of the SQL database, given in the order of their keys; return how many were there."""
    columns = tuple_(StoredEvent.time_us, StoredEvent.source_id, StoredEvent.id_key)
    count = 0
    for start in range(0, len(keys), CHUNK):
        chunk = [tuple(key) for key in keys[start : start + CHUNK]]
        # The bounds choose the days' partitions.
        near = StoredEvent.time_us.between(keys[start].time_us, keys[start + len(chunk) - 1].time_us)
        result = session.execute(delete_from(StoredEvent).where(near, columns.in_(chunk)))
        count += result.rowcount  # type: ignore[attr-defined]  # a DELETE's result is a cursor's
    return count
