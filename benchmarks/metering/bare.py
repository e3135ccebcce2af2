"""The same rows without us: binary COPY on PostgreSQL, executemany on SQLite, a commit per batch."""

import sqlite3
import time
from pathlib import Path

import psycopg

from tollkeeper.metering.rows import EventRow
from tollkeeper.metering.store_postgresql import COPY_EVENTS, pack_events
from tollkeeper.metering.store_sqlite import INSERT

ROWS = "SELECT time_us, source_id, id_key, set_id, id_text, payload FROM events ORDER BY time_us, source_id, id_key"
MOST = 1_000_000


def bare_postgresql(url: str, size: int, most: int = MOST) -> tuple[int, float]:
    """Copy the stored events into a table of the same key; return how many and the seconds."""
    with psycopg.connect(url) as connection:
        rows = [EventRow(*row) for row in connection.execute(f"{ROWS} LIMIT {most}", binary=True)]
        connection.execute("DROP TABLE IF EXISTS bare_events")
        connection.execute("CREATE TABLE bare_events (LIKE events INCLUDING INDEXES)")
        connection.commit()
        copy_into = COPY_EVENTS.replace("event_stage", "bare_events")
        start = time.perf_counter()
        for first in range(0, len(rows), size):
            with connection.cursor() as cursor, cursor.copy(copy_into) as copy:
                copy.write(pack_events(rows[first : first + size]))
            connection.commit()
        return len(rows), time.perf_counter() - start


def bare_sqlite(path: Path, size: int, most: int = MOST) -> tuple[int, float]:
    """Insert the stored events into a file with the same table; return how many and the seconds."""
    with sqlite3.connect(path) as source:
        rows = [EventRow(*row) for row in source.execute(f"{ROWS} LIMIT {most}")]
        [schema] = source.execute("SELECT sql FROM sqlite_master WHERE name = 'events'").fetchone()
    path.with_name("bare.db").unlink(missing_ok=True)
    target = sqlite3.connect(path.with_name("bare.db"), isolation_level=None)
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA synchronous=FULL")
    target.execute(schema)
    start = time.perf_counter()
    for first in range(0, len(rows), size):
        target.execute("BEGIN IMMEDIATE")
        target.executemany(INSERT, rows[first : first + size])
        target.execute("COMMIT")
    seconds = time.perf_counter() - start
    target.close()
    return len(rows), seconds
