"""An archive in ClickHouse, through clickhouse-connect: a server, a cluster, or the engine embedded in this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tollkeeper.errors import InvalidInput, Unavailable
from tollkeeper.metering.rows import EventKey, EventRow, StoredAlready
from tollkeeper.metering.stores.archive import MovedRow, Selection, Visible
from tollkeeper.metering.stores.clickhouse_schema import COUNTS, EVENT_COLUMNS, statements
from tollkeeper.metering.stores.clickhouse_sql import conditions, has_key, is_visible

PAGE = 20_000
KEYS_AT_ONCE = 5_000
ROW = "time_us, source_id, id_key, set_id, id_text, payload"
ORDER = "ORDER BY time_us, source_id, id_key"
EXACT = {"String": "bytes", "FixedString": "bytes"}
# A statement names thousands of ids; an event may be of any year, and each 30 days are a partition.
LIMITS = {"max_query_size": 1 << 26, "max_partitions_per_insert_block": 0}
# An insert is over when a majority of the shard's replicas have it, and a read sees every insert that is over.
OF_CLUSTER = {"insert_quorum": "auto", "select_sequential_consistency": 1, "distributed_foreground_insert": 1}


class ClickHouseArchive:
    """Raw events in ClickHouse; may be shared by threads."""

    def __init__(self, client: Client, database: str, *, cluster: str | None = None) -> None:
        self._client = client
        self._database = database
        self._settings: dict[str, Any] = {**LIMITS, **(OF_CLUSTER if cluster else {})}
        with _away_is_unavailable():
            for statement in statements(database, cluster):
                client.command(statement)

    def append(self, move: int, rows: Sequence[MovedRow]) -> None:
        """Store the rows of a move; again, if its answer was lost."""
        columns = [(*row[:4], row.id_text and row.id_text.encode(), row.payload, *counts, move) for row, counts in rows]
        with _away_is_unavailable():
            self._client.insert(
                "events",
                columns,
                column_names=EVENT_COLUMNS,
                database=self._database,
                settings=self._settings,
            )

    def find(self, keys: Sequence[EventKey], visible: Visible) -> dict[EventKey, StoredAlready]:
        """Return what stands under those of the keys that are there."""
        found: dict[EventKey, StoredAlready] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            chunk = set(keys[start : start + KEYS_AT_ONCE])
            where = f"{has_key(sorted(chunk))} AND {is_visible(visible)}"
            for row in self._rows(where, ""):
                if row.key in chunk:
                    found[row.key] = StoredAlready(row.set_id, row.id_text, row.payload)
        return found

    def rows(self, wanted: Selection, visible: Visible) -> Iterator[EventRow]:
        """Yield rows in the order of the key, a page at a time."""
        after = wanted.after
        while True:
            here = Selection(
                within=wanted.within,
                any_of=wanted.any_of,
                source_id=wanted.source_id,
                id_key=wanted.id_key,
                after=after,
            )
            page = self._rows(conditions(here, visible), f"{ORDER} LIMIT {PAGE}")
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].key

    def rows_of_move(self, move: int) -> list[EventRow]:
        """Return what is stored of one move."""
        return self._rows(f"move = {move:d}", ORDER)

    def bounds(self, visible: Visible) -> tuple[int, int] | None:
        """Return the first and the last time."""
        query = f"SELECT count(), min(time_us), max(time_us) FROM {self._database}.events WHERE {is_visible(visible)}"  # noqa: S608  # made of numbers, see clickhouse_sql.py
        ((count, first, last),) = self._query(query)
        return (first, last) if count else None

    def totals(self, first_hour: int, end_hour: int, visible: Visible) -> dict[tuple[int, int], tuple[int, ...]]:
        """Return events and the counted numbers by set and hour."""
        sums = ", ".join(f"sum({name})" for name in ("events", *COUNTS))
        query = f"""
            SELECT set_id, hour, {sums} FROM {self._database}.event_totals FINAL
            WHERE hour >= {first_hour:d} AND hour < {end_hour:d} AND {is_visible(visible)} GROUP BY set_id, hour
        """  # noqa: S608  # made of numbers, see clickhouse_sql.py
        return {(set_id, hour): tuple(numbers) for set_id, hour, *numbers in self._query(query)}

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _rows(self, where: str, tail: str) -> list[EventRow]:
        query = f"SELECT {ROW} FROM {self._database}.events FINAL WHERE {where} {tail}"  # noqa: S608  # made of numbers, see clickhouse_sql.py
        return [
            EventRow(time_us, source_id, id_key, set_id, None if id_text is None else id_text.decode(), payload)
            for time_us, source_id, id_key, set_id, id_text, payload in self._query(query)
        ]

    def _query(self, query: str) -> Sequence[Sequence[Any]]:
        with _away_is_unavailable():
            rows: Sequence[Sequence[Any]] = self._client.query(
                query, settings=self._settings, query_formats=EXACT
            ).result_rows
        return rows


def open_archive(url: str, password: str | None = None) -> ClickHouseArchive:
    """Open clickhouse://user@host:8123/database?cluster=name (clickhouses: over TLS) or chdb:///folder.

    Makes the tables that are not there. Raises InvalidInput for another URL, Unavailable if nobody answers.
    """
    parts = urlsplit(url)
    database = unquote(parts.path.strip("/")) or "tollkeeper"
    if parts.scheme == "chdb":
        with _away_is_unavailable():
            return ClickHouseArchive(clickhouse_connect.get_client(interface="chdb", path=parts.path), "tollkeeper")
    if parts.scheme not in {"clickhouse", "clickhouses"} or not database.isidentifier():
        raise InvalidInput.of("/EVENTS_URL", "is no ClickHouse; write clickhouse://user@host:8123/tollkeeper")
    secure = parts.scheme == "clickhouses"
    (cluster,) = parse_qs(parts.query).get("cluster", [None])
    with _away_is_unavailable():
        client = clickhouse_connect.get_client(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or (8443 if secure else 8123),
            username=unquote(parts.username or "default"),
            password=password or unquote(parts.password or ""),
            secure=secure,
            # Without a session of its own a client may be used by many threads at once.
            autogenerate_session_id=False,
        )
        return ClickHouseArchive(client, database, cluster=cluster)


@contextmanager
def _away_is_unavailable() -> Iterator[None]:
    try:
        yield
    except (ClickHouseError, OSError) as error:
        raise Unavailable(f"the event archive is away: {str(error)[:200]}") from error
