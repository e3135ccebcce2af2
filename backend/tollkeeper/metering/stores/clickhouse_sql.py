"""The conditions of the ClickHouse archive's statements, as texts; pure.

Every value is a number or hex digits that were made here, so nothing that a sender wrote is in a statement.
"""

from collections.abc import Iterable, Sequence

from tollkeeper.metering.rows import EventKey
from tollkeeper.metering.stores.archive import Selection, Stretch, Visible

KEY_BYTES = 16


def conditions(wanted: Selection, visible: Visible) -> str:
    """Return the WHERE of a selection."""
    parts = [is_visible(visible)]
    parts += [_in_stretch(one) for one in wanted.within]
    if wanted.any_of is not None:
        parts.append("(" + " OR ".join(_in_stretch(one) for one in wanted.any_of) + ")" if wanted.any_of else "0")
    if wanted.source_id is not None:
        parts.append(f"source_id = {wanted.source_id:d}")
    if wanted.id_key is not None:
        parts.append(f"id_key = {_bytes(wanted.id_key)}")
    if wanted.after is not None:
        parts.append(_beyond(wanted.after))
    return " AND ".join(parts)


def is_visible(visible: Visible) -> str:
    """Return the condition that a row's move counts."""
    newest = f"move <= {visible.newest:d}"
    return f"{newest} AND move NOT IN ({_numbers(visible.left_out)})" if visible.left_out else newest


def has_key(keys: Sequence[EventKey]) -> str:
    """Return a condition that holds for all of the keys, and for few others: time and id each are one of theirs.

    They stand in the statement as one text each, cut by the server: a list of thousands takes it seconds to parse.
    """
    times = ",".join(str(time_us) for time_us in sorted({key.time_us for key in keys}))
    packed = b"".join(key.id_key for key in keys).hex()
    ids = f"arrayMap(i -> toFixedString(substring(unhex('{packed}'), i * 16 + 1, 16), 16), range({len(keys):d}))"
    first, last = min(key.time_us for key in keys), max(key.time_us for key in keys)
    return (
        f"time_us BETWEEN {first:d} AND {last:d}"
        f" AND time_us IN (SELECT arrayJoin(arrayMap(t -> toInt64(t), splitByChar(',', '{times}'))))"
        f" AND id_key IN (SELECT arrayJoin({ids}))"
    )


def _in_stretch(one: Stretch) -> str:
    parts = ["1"]
    if one.start_us is not None:
        parts.append(f"time_us >= {one.start_us:d}")
    if one.end_us is not None:
        parts.append(f"time_us < {one.end_us:d}")
    if one.set_ids is not None:
        parts.append(f"set_id IN ({_numbers(one.set_ids)})" if one.set_ids else "0")
    return "(" + " AND ".join(parts) + ")"


def _beyond(after: EventKey) -> str:
    key = f"({after.time_us:d}, {after.source_id:d}, {_bytes(after.id_key)})"
    # The first condition is what the table's order can serve.
    return f"time_us >= {after.time_us:d} AND (time_us, source_id, id_key) > {key}"


def _bytes(key: bytes) -> str:
    return f"toFixedString(unhex('{key.hex()}'), {KEY_BYTES})"


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(f"{number:d}" for number in sorted(numbers))
