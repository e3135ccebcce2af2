"""The tables of the ClickHouse archive: on one server, or replicated and sharded on a cluster; pure.

`event_totals` is filled by a materialized view, which sees what is inserted, not what is there. So it adds nothing up
across inserts: it writes a row for each set, hour and move, and the same move inserted again writes the same row,
which replaces the first. A reader sums the moves that count.
"""

# 30 days in microseconds; an event may be of any year.
PARTITION = "intDiv(time_us, 2592000000000)"
DURABLE = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "response_bytes")
EVENT_COLUMNS = ("time_us", "source_id", "id_key", "set_id", "id_text", "payload", *COUNTS, "move")

EVENTS = f"""
    (time_us Int64, source_id Int32, id_key FixedString(16), set_id Int64, id_text Nullable(String), payload String,
     {", ".join(f"{name} Int64" for name in COUNTS)}, move Int64,
     INDEX of_move move TYPE minmax GRANULARITY 1)
    ENGINE = {{engine}}
    PARTITION BY {PARTITION} ORDER BY (time_us, source_id, id_key) {DURABLE}
"""
TOTALS = f"""
    (set_id Int64, hour Int64, events Int64, {", ".join(f"{name} Int128" for name in COUNTS)}, move Int64)
    ENGINE = {{engine}}
    ORDER BY (set_id, hour, move) {DURABLE}
"""
ADD_UP = f"""
    SELECT set_id, intDiv(time_us - positiveModulo(time_us, 3600000000), 3600000000) AS hour,
           toInt64(count()) AS events, {", ".join(f"sum(toInt128(e.{name})) AS {name}" for name in COUNTS)}, move
    FROM {{events}} AS e GROUP BY set_id, hour, move
"""  # noqa: S608  # made of the names above


def statements(database: str, cluster: str | None) -> list[str]:
    """Return what makes the tables; a repeat changes nothing."""
    if cluster is None:
        return _of_server(database)
    return _of_cluster(database, cluster)


def _of_server(database: str) -> list[str]:
    events, totals = (f"CREATE TABLE IF NOT EXISTS {database}.{name}" for name in ("events", "event_totals"))
    return [
        f"CREATE DATABASE IF NOT EXISTS {database}",
        events + EVENTS.format(engine="ReplacingMergeTree(move)"),
        totals + TOTALS.format(engine="ReplacingMergeTree"),
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.add_up_events TO {database}.event_totals AS"
        + ADD_UP.format(events=f"{database}.events"),
    ]


def _of_cluster(database: str, cluster: str) -> list[str]:
    on = f"ON CLUSTER '{cluster}'"

    def table(name: str) -> str:
        return f"CREATE TABLE IF NOT EXISTS {database}.{name} {on}"

    def replicated(name: str, version: str = "") -> str:
        path = f"/clickhouse/tables/{{shard}}/{database}/{name}"
        return f"ReplicatedReplacingMergeTree('{path}', '{{replica}}'{version})"

    def spread(name: str) -> str:
        return f" AS {database}.{name} ENGINE = Distributed('{cluster}', '{database}', '{name}', intHash64(set_id))"

    return [
        f"CREATE DATABASE IF NOT EXISTS {database} {on}",
        table("events_here") + EVENTS.format(engine=replicated("events_here", ", move")),
        table("event_totals_here") + TOTALS.format(engine=replicated("event_totals_here")),
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.add_up_events {on} TO {database}.event_totals_here AS"
        + ADD_UP.format(events=f"{database}.events_here"),
        table("events") + spread("events_here"),
        table("event_totals") + spread("event_totals_here"),
    ]
