"""Hourly totals: what a batch adds to them, and folding the parts that writers left."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from tollkeeper.metering.rows import EventRow
from tollkeeper.storage.locks import wait_for_turn
from tollkeeper.storage.upsert import is_postgresql

HOUR_US = 3_600_000_000
# Hours of all years up to 9999, before 1970 as after, stay within 2^27.
HOUR_BITS = 28

# One statement sees one snapshot: what it deletes is what it adds.
MERGE = """
    WITH folded AS (DELETE FROM hourly_totals WHERE part > 0 AND hour <= :up_to RETURNING *)
    INSERT INTO hourly_totals AS h (set_id, hour, part, events, input_tokens, output_tokens, cached_tokens,
                                    response_bytes, first_us, last_us)
    SELECT set_id, hour, 0, sum(events), sum(input_tokens), sum(output_tokens), sum(cached_tokens),
           sum(response_bytes), min(first_us), max(last_us)
    FROM folded GROUP BY set_id, hour
    ON CONFLICT (set_id, hour, part) DO UPDATE SET
      events = h.events + excluded.events, input_tokens = h.input_tokens + excluded.input_tokens,
      output_tokens = h.output_tokens + excluded.output_tokens,
      cached_tokens = h.cached_tokens + excluded.cached_tokens,
      response_bytes = h.response_bytes + excluded.response_bytes,
      first_us = least(h.first_us, excluded.first_us), last_us = greatest(h.last_us, excluded.last_us)
"""


class TotalRow(NamedTuple):
    """What some events of one set and hour come to; the columns of `hourly_totals` but `part`, in order."""

    set_id: int
    hour: int
    events: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    response_bytes: int
    first_us: int
    last_us: int


def count_rows(rows: Sequence[EventRow], counts: Sequence[tuple[int, int, int, int]]) -> list[TotalRow]:
    """Sum events and their counted numbers by set and hour, in the order of the table's key."""
    sums: dict[int, list[int]] = {}
    for (time_us, _, _, set_id, _, _), (tokens_in, tokens_out, cached, response) in zip(rows, counts, strict=True):
        hour = time_us // HOUR_US
        # One number in the order of (set, hour), which no pair has to be made for.
        cell = sums.get(key := (set_id << HOUR_BITS) + hour)
        if cell is None:
            sums[key] = [set_id, hour, 1, tokens_in, tokens_out, cached, response, time_us, time_us]
            continue
        cell[2] += 1
        cell[3] += tokens_in
        cell[4] += tokens_out
        cell[5] += cached
        cell[6] += response
        if time_us < cell[7]:
            cell[7] = time_us
        elif time_us > cell[8]:
            cell[8] = time_us
    return [TotalRow._make(sums[key]) for key in sorted(sums)]


def merge_totals(session: Session, *, up_to_hour: int = 1 << 30) -> int:
    """Fold the parts of hours up to the given one into one row each; return how many rows that made or met.

    Readers sum all parts, so this changes no total; it keeps the table small. One process at a time.
    """
    if not is_postgresql(session):
        return 0
    wait_for_turn(session, "merge_totals")
    result = session.execute(text(MERGE), {"up_to": up_to_hour})
    return result.rowcount  # type: ignore[attr-defined, no-any-return]  # an INSERT's result is a cursor's
