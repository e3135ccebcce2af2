"""The same rows without us: the events and totals of each batch in one transaction, deduplicated, into equal tables.

On PostgreSQL by binary COPY, on SQLite by executemany, over one connection. What ours does beside it: HTTP, decoding,
checking, attribution, digests, the row of the batch; and it cuts the rows out of JSON, where these are ready.
"""

import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

import psycopg

from tollkeeper.metering import store_sqlite
from tollkeeper.metering.read import sets_by_id
from tollkeeper.metering.recount import counts_of
from tollkeeper.metering.rows import EventRow
from tollkeeper.metering.store_postgresql import COPY_EVENTS, COPY_TOTALS, INSERT, STAGE, pack_events, pack_totals
from tollkeeper.metering.totals import TotalRow, count_rows
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

ROWS = "SELECT time_us, source_id, id_key, set_id, id_text, payload FROM events ORDER BY time_us, source_id, id_key"
MOST = 200_000


class Bare(NamedTuple):
    """How many events, the seconds for them with deduplication and totals, and of a COPY of the events alone."""

    events: int
    seconds: float
    copy_seconds: float | None


Batches = list[tuple[list[EventRow], list[TotalRow]]]


def bare_postgresql(url: str, size: int) -> Bare:
    """Store what is stored once more, in tables of the same keys."""
    with psycopg.connect(url) as connection:
        rows = [EventRow(*row) for row in connection.execute(f"{ROWS} LIMIT {MOST}", binary=True)]
        connection.rollback()
        batches = _batches(url, rows, size)
        for table in ("events", "hourly_totals"):
            connection.execute(f"DROP TABLE IF EXISTS bare_{table}")
            connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING INDEXES)")
        connection.commit()
        insert = INSERT.replace("INTO events", "INTO bare_events")
        start = time.perf_counter()
        for part, (events, totals) in enumerate(batches, 1):
            with connection.cursor() as cursor:
                cursor.execute(STAGE)
                _copy(cursor, COPY_EVENTS, pack_events(events))
                cursor.execute(insert, binary=True)
                assert not cursor.fetchall()
                _copy(cursor, COPY_TOTALS.replace("hourly_totals", "bare_hourly_totals"), pack_totals(totals, part))
            connection.commit()
        seconds = time.perf_counter() - start
        connection.execute("TRUNCATE bare_events")
        connection.commit()
        start = time.perf_counter()
        for events, _ in batches:
            with connection.cursor() as cursor:
                _copy(cursor, COPY_EVENTS.replace("event_stage", "bare_events"), pack_events(events))
            connection.commit()
        copy_seconds = time.perf_counter() - start
        connection.execute("DROP TABLE bare_events, bare_hourly_totals")
        return Bare(len(rows), seconds, copy_seconds)


def bare_sqlite(path: Path, size: int) -> Bare:
    """Store what is stored once more, in a file with the same tables."""
    with sqlite3.connect(path) as source:
        rows = [EventRow(*row) for row in source.execute(f"{ROWS} LIMIT {MOST}")]
        named = "SELECT sql FROM sqlite_master WHERE tbl_name IN ('events', 'hourly_totals') AND sql IS NOT NULL"
        schema = [sql for (sql,) in source.execute(named)]
    batches = _batches(f"sqlite:///{path}", rows, size)
    copy = path.with_name("bare.db")
    copy.unlink(missing_ok=True)
    target = sqlite3.connect(copy, isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *schema):
        target.execute(statement)
    start = time.perf_counter()
    for events, totals in batches:
        target.execute("BEGIN IMMEDIATE")
        target.executemany(store_sqlite.INSERT, events)
        target.executemany(store_sqlite.ADD, totals)
        target.execute("COMMIT")
    seconds = time.perf_counter() - start
    target.close()
    copy.unlink()
    return Bare(len(rows), seconds, None)


def _copy(cursor: psycopg.Cursor, statement: str, packed: bytes) -> None:
    with cursor.copy(statement) as copy:
        copy.write(packed)


def _batches(url: str, rows: list[EventRow], size: int) -> Batches:
    """Return the rows by batch, each with the totals that it comes to."""
    database = Database(open_engine(url))
    with database.snapshot() as session:
        sets = sets_by_id(session, {row.set_id for row in rows})
    database.dispose()
    batches = []
    for first in range(0, len(rows), size):
        batch = rows[first : first + size]
        counts = [counts_of(sets[row.set_id], row.payload)[0] for row in batch]
        batches.append((batch, count_rows(batch, counts)))
    return batches
