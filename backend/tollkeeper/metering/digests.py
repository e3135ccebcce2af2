"""Digests of events that any later change or loss breaks, kept at accept time; docs/adr/0010 says why they hold.

The digest of a set of events is the sum of their digests modulo 2^1344: the order of arrival is of no matter,
an event that comes late is added, and two sums add up.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import shake_128
from itertools import groupby, islice
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, delete, insert, select
from sqlalchemy.orm import Session

from tollkeeper.metering.digest_tables import DigestPart, EventDigest
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.numbers import SetNumbers
from tollkeeper.metering.rows import EventRow
from tollkeeper.storage.locks import wait_for_turn
from tollkeeper.storage.upsert import insert_into, table_of

DAY_US = 86_400_000_000
# SHAKE128 gives 168 bytes for one run of its permutation.
DIGEST_BYTES = 168
MODULUS_MASK = (1 << 8 * DIGEST_BYTES) - 1
HEAD = struct.Struct(">qII")
DAY_OF_BATCH = struct.Struct(">i")
SUM = struct.Struct(f">iqI{DIGEST_BYTES}s")
MOST_PARTS = 200
CHUNK = 1_000


class DigestKey(NamedTuple):
    """Whose events of which day, and when they arrived; days are counted since 1970 in UTC."""

    day: int
    subject_id: int
    arrived_day: int


class DigestSum(NamedTuple):
    """How many events, and the sum of their digests."""

    events: int
    total: int

    def plus(self, other: "DigestSum") -> "DigestSum":
        """Return the sum of two disjoint sets of events."""
        return DigestSum(self.events + other.events, self.total + other.total & MODULUS_MASK)


NOTHING = DigestSum(0, 0)


class Stored(NamedTuple):
    """Rows, the names of their sources, and the numbers of their sets, each in the same order."""

    rows: Sequence[EventRow]
    sources: Sequence[str]
    numbers: Sequence[SetNumbers]


def event_digest(
    time_us: int, source: bytes, id_key: bytes, id_text: str | None, commitment: bytes, payload: bytes
) -> int:
    """Return an event's digest: of its row, with the source's name and the set's commitment for their numbers.

    The set's commitment stands for type, subject and dimensions, the payload for the rest of `data`. The parts are
    framed by their lengths, so no two events give one text.
    """
    text = b"" if id_text is None else b"+" + id_text.encode()
    framed = b"".join((HEAD.pack(time_us, len(source), len(text)), source, text, id_key, commitment, payload))
    return int.from_bytes(shake_128(framed).digest(DIGEST_BYTES), "big")


def keep_digests(session: Session, batch_id: int, stored: Stored, *, now: datetime) -> None:
    """Keep what a batch adds to the digests: its new rows."""
    sources = {name: name.encode() for name in set(stored.sources)}
    sums: dict[tuple[int, int], list[int]] = {}
    for row, name, number in zip(stored.rows, stored.sources, stored.numbers, strict=True):
        time_us, _, id_key, _, id_text, payload = row
        _, subject_id, commitment = number
        digest = event_digest(time_us, sources[name], id_key, id_text, commitment, payload)
        key = (time_us // DAY_US, subject_id)
        found = sums.get(key)
        if found is None:
            sums[key] = [1, digest]
        else:
            found[0] += 1
            found[1] += digest
    packed = [DAY_OF_BATCH.pack(microseconds_of(now) // DAY_US)]
    packed += [SUM.pack(*key, events, _to_bytes(total)) for key, (events, total) in sorted(sums.items())]
    session.connection().execute(insert(table_of(DigestPart)), {"batch_id": batch_id, "sums": b"".join(packed)})


def fold_digests(session: Session) -> int:
    """Add the parts of some batches to the digests; return how many parts. A reader sums both, so none changes."""
    wait_for_turn(session, "fold_digests")
    parts = session.execute(
        select(DigestPart.batch_id, DigestPart.sums).order_by(DigestPart.batch_id).limit(MOST_PARTS)
    )
    batches: list[int] = []
    added: dict[DigestKey, DigestSum] = {}
    for batch_id, sums in parts:
        batches.append(batch_id)
        for key, one in unpack_part(sums):
            added[key] = added.get(key, NOTHING).plus(one)
    for _, keys in groupby(sorted(added), key=lambda key: key.day):
        while chunk := list(islice(keys, CHUNK)):
            _add(session, {key: added[key] for key in chunk})
    session.execute(delete(DigestPart).where(DigestPart.batch_id.in_(batches)))
    return len(batches)


def digests_of_day(session: Session, day: int, parts: Mapping[DigestKey, DigestSum]) -> dict[DigestKey, DigestSum]:
    """Return the digests of one day; `parts` are those of `unfolded_sums`."""
    found = {key: one for key, one in parts.items() if key.day == day}
    for key, one in _stored(session, EventDigest.day == day):
        found[key] = found.get(key, NOTHING).plus(one)
    return found


def unfolded_sums(session: Session) -> dict[DigestKey, DigestSum]:
    """Return what the batches that are not folded yet come to."""
    sums: dict[DigestKey, DigestSum] = {}
    for part in session.scalars(select(DigestPart.sums).execution_options(yield_per=100)):
        for key, one in unpack_part(part):
            sums[key] = sums.get(key, NOTHING).plus(one)
    return sums


def unpack_part(sums: bytes) -> Iterator[tuple[DigestKey, DigestSum]]:
    """Yield what one batch adds."""
    (arrived_day,) = DAY_OF_BATCH.unpack_from(sums)
    for day, subject_id, events, total in SUM.iter_unpack(memoryview(sums)[DAY_OF_BATCH.size :]):
        yield DigestKey(day, subject_id, arrived_day), DigestSum(events, int.from_bytes(total, "big"))


def _add(session: Session, added: dict[DigestKey, DigestSum]) -> None:
    """Add to digests of one day; `added` is in the order of the key."""
    first, last = next(iter(added)), next(reversed(added))
    near = and_(EventDigest.day == first.day, EventDigest.subject_id.between(first.subject_id, last.subject_id))
    sums = dict(added)
    for key, one in _stored(session, near):
        if key in added:
            sums[key] = sums[key].plus(one)
    insert = insert_into(session, EventDigest)
    new = insert.on_conflict_do_update(
        index_elements=["day", "subject_id", "arrived_day"],
        set_={"events": insert.excluded.events, "digest": insert.excluded.digest},
    )
    rows = [{**key._asdict(), "events": one.events, "digest": _to_bytes(one.total)} for key, one in sums.items()]
    session.execute(new, rows)


def _stored(session: Session, condition: ColumnElement[bool]) -> Iterator[tuple[DigestKey, DigestSum]]:
    columns = (EventDigest.day, EventDigest.subject_id, EventDigest.arrived_day)
    query = select(*columns, EventDigest.events, EventDigest.digest).where(condition)
    for *key, events, digest in session.execute(query):
        yield DigestKey(*key), DigestSum(events, int.from_bytes(digest, "big"))


def _to_bytes(total: int) -> bytes:
    return (total & MODULUS_MASK).to_bytes(DIGEST_BYTES, "big")


def sum_by_subject(digests: Mapping[DigestKey, DigestSum]) -> dict[int, DigestSum]:
    """Return one day's digests by subject, whenever the events arrived."""
    sums: dict[int, DigestSum] = {}
    for key, one in digests.items():
        sums[key.subject_id] = sums.get(key.subject_id, NOTHING).plus(one)
    return sums
