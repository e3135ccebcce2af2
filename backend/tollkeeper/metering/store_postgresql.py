"""Append events and count them on PostgreSQL: binary COPY into a stage, then one INSERT that skips repeats."""

import struct
from collections.abc import Iterable, Sequence

from psycopg import Connection
from psycopg.errors import CheckViolation
from sqlalchemy.orm import Session

from tollkeeper.errors import Unavailable
from tollkeeper.metering.rows import EventKey, EventRow, StoredAlready
from tollkeeper.metering.totals import TotalRow

# The temporary table lives as long as the connection; each commit empties it. All in one message, each time: between
# us and the server a pooler may give every transaction another connection.
STAGE = """
    SET LOCAL client_min_messages = warning;
    CREATE TEMPORARY TABLE IF NOT EXISTS event_stage (
      time_us bigint, source_id integer, id_key bytea, set_id bigint, id_text text, payload bytea
    ) ON COMMIT DELETE ROWS;
    DELETE FROM event_stage
"""
COPY_EVENTS = "COPY event_stage (time_us, source_id, id_key, set_id, id_text, payload) FROM STDIN (FORMAT binary)"
# Sorted, so that two transactions that bring the same events wait for each other in one order. Only what was there
# comes back: nearly always nothing.
INSERT = """
    WITH new AS (
      INSERT INTO events (time_us, source_id, id_key, set_id, id_text, payload)
      SELECT time_us, source_id, id_key, set_id, id_text, payload FROM event_stage
      ORDER BY time_us, source_id, id_key
      ON CONFLICT DO NOTHING
      RETURNING time_us, source_id, id_key
    )
    SELECT time_us, source_id, id_key FROM event_stage
    WHERE NOT EXISTS (
      SELECT FROM new
      WHERE (new.time_us, new.source_id, new.id_key)
        = (event_stage.time_us, event_stage.source_id, event_stage.id_key)
    )
"""
# A statement of its own, whose snapshot sees what another transaction has committed since. The bounds choose the days'
# partitions.
FIND = """
    SELECT e.time_us, e.source_id, e.id_key, e.set_id, e.id_text, e.payload
    FROM event_stage s JOIN events e USING (time_us, source_id, id_key)
    WHERE e.time_us BETWEEN %s AND %s
"""
COPY_TOTALS = """
    COPY hourly_totals (set_id, hour, part, events, input_tokens, output_tokens, cached_tokens, response_bytes,
                        first_us, last_us) FROM STDIN (FORMAT binary)
"""
COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
COPY_TAIL = struct.pack(">h", -1)
EVENT_HEAD = struct.Struct(">hiqiii16siq")  # fields, then each value behind its length, up to set_id
EVENT = struct.Struct(">hiqiii16siqii")  # the same without a text, and the payload's length
TOTAL = struct.Struct(">h" + "iq" + "ii" + "iq" * 8)
LENGTH = struct.Struct(">i")


def append_events(session: Session, rows: Sequence[EventRow]) -> dict[EventKey, StoredAlready]:
    """Store the rows whose keys are new; return what stands under the others.

    ON CONFLICT waits for another transaction that is inserting the same key, so of two processes that bring
    one event exactly one counts it. Raises Unavailable if the partition of a day was made while we waited.
    """
    with _driver(session).cursor() as cursor:
        cursor.execute(STAGE)
        with cursor.copy(COPY_EVENTS) as copy:
            copy.write(pack_events(rows))
        try:
            cursor.execute(INSERT, binary=True)
        except CheckViolation as error:
            raise Unavailable("the day of an event got a partition of its own meanwhile") from error
        there = {EventKey(*record) for record in cursor}
        if not there:
            return {}
        times = [key.time_us for key in there]
        cursor.execute(FIND, (min(times), max(times)), binary=True)
        return {
            key: StoredAlready(set_id, id_text, payload)
            for *parts, set_id, id_text, payload in cursor
            if (key := EventKey(*parts)) in there
        }


def add_totals(session: Session, totals: Sequence[TotalRow], *, part: int) -> None:
    """Append the totals of one batch as rows of its own part; `merge_totals` folds them later."""
    with _driver(session).cursor() as cursor, cursor.copy(COPY_TOTALS) as copy:
        copy.write(pack_totals(totals, part))


def _driver(session: Session) -> Connection:
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, Connection)
    return connection


def pack_events(rows: Iterable[EventRow]) -> bytes:
    """Return the rows as COPY reads them."""
    pack, packed = EVENT.pack, [COPY_HEAD]
    for time_us, source_id, id_key, set_id, id_text, payload in rows:
        if id_text is None:
            packed += (pack(6, 8, time_us, 4, source_id, 16, id_key, 8, set_id, -1, len(payload)), payload)
        else:
            head = EVENT_HEAD.pack(6, 8, time_us, 4, source_id, 16, id_key, 8, set_id)
            packed += (head, _sized(id_text.encode()), _sized(payload))
    packed.append(COPY_TAIL)
    return b"".join(packed)


def pack_totals(totals: Iterable[TotalRow], part: int) -> bytes:
    """Return the totals of one batch as COPY reads them."""
    pack, packed = TOTAL.pack, [COPY_HEAD]
    for set_id, hour, events, tokens_in, tokens_out, cached, response, first, last in totals:
        counts = (8, events, 8, tokens_in, 8, tokens_out, 8, cached, 8, response, 8, first, 8, last)
        packed.append(pack(10, 8, set_id, 4, hour, 8, part, *counts))
    packed.append(COPY_TAIL)
    return b"".join(packed)


def _sized(field: bytes) -> bytes:
    return LENGTH.pack(len(field)) + field
