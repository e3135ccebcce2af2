"""Append events and count them on SQLite, where a writer is alone."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, tuple_
from sqlalchemy.orm import Session

from tollkeeper.metering.rows import EventKey, EventRow, StoredAlready
from tollkeeper.metering.tables import StoredEvent
from tollkeeper.metering.totals import TotalRow

INSERT = "INSERT OR IGNORE INTO events (time_us, source_id, id_key, set_id, id_text, payload) VALUES (?, ?, ?, ?, ?, ?)"
ADD = """
    INSERT INTO hourly_totals (set_id, hour, part, events, input_tokens, output_tokens, cached_tokens,
                               response_bytes, first_us, last_us)
    VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (set_id, hour, part) DO UPDATE SET
      events = events + excluded.events, input_tokens = input_tokens + excluded.input_tokens,
      output_tokens = output_tokens + excluded.output_tokens, cached_tokens = cached_tokens + excluded.cached_tokens,
      response_bytes = response_bytes + excluded.response_bytes,
      first_us = min(first_us, excluded.first_us), last_us = max(last_us, excluded.last_us)
"""
CHUNK = 5_000


def append_events(session: Session, rows: Sequence[EventRow]) -> dict[EventKey, StoredAlready]:
    """Store the rows whose keys are new; return what stands under the others.

    Keys are nearly always new, so we insert first. Only when the count says that some were there, we take it
    back and look; nobody can write in between, for the transaction began as a writer.
    """
    connection = session.connection()
    connection.exec_driver_sql("SAVEPOINT append_events")
    present: dict[EventKey, StoredAlready] = {}
    if _insert(connection, rows) != len(rows):
        connection.exec_driver_sql("ROLLBACK TO append_events")
        present = _find(session, [row.key for row in rows])
        _insert(connection, [row for row in rows if row.key not in present])
    connection.exec_driver_sql("RELEASE append_events")
    return present


def add_totals(session: Session, totals: Sequence[TotalRow], *, part: int) -> None:
    """Add to the one row of each set and hour; `part` is for engines with several writers."""
    del part
    session.connection().exec_driver_sql(ADD, [tuple(total) for total in totals])


def _insert(connection: Connection, rows: Sequence[EventRow]) -> int:
    if not rows:
        return 0
    return connection.exec_driver_sql(INSERT, list(rows)).rowcount


def _find(session: Session, keys: Sequence[EventKey]) -> dict[EventKey, StoredAlready]:
    found: dict[EventKey, StoredAlready] = {}
    columns = (StoredEvent.time_us, StoredEvent.source_id, StoredEvent.id_key)
    for start in range(0, len(keys), CHUNK):
        query = select(*columns, StoredEvent.set_id, StoredEvent.id_text, StoredEvent.payload)
        for time_us, source_id, id_key, set_id, id_text, payload in session.execute(
            query.where(tuple_(*columns).in_(keys[start : start + CHUNK]))
        ):
            found[EventKey(time_us, source_id, id_key)] = StoredAlready(set_id, id_text, payload)
    return found
