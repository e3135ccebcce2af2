"""Numbers that stand for sources and dimension sets in the event store, kept in memory once they are committed."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from tollkeeper.customers.subjects import SeenSubject, register_subjects
from tollkeeper.metering.commitments import commitment_of
from tollkeeper.metering.dimensions import SetKey, set_digest
from tollkeeper.metering.forgetting_turns import count_acts
from tollkeeper.metering.tables import DimensionSet, EventSource
from tollkeeper.storage.upsert import insert_ignoring

MOST_REMEMBERED = 200_000
CHUNK = 5_000


class SetNumbers(NamedTuple):
    """The numbers of a dimension set and of its subject, and what stands for the set in digests."""

    set_id: int
    subject_id: int
    commitment: bytes


class Remembered:
    """What this process knows of one database; lost without harm."""

    def __init__(self) -> None:
        self.sources: dict[str, int] = {}
        self.sets: dict[SetKey, SetNumbers] = {}
        self.acts = 0


_by_engine: WeakKeyDictionary[Engine, Remembered] = WeakKeyDictionary()


def number_sources(session: Session, sources: Iterable[str]) -> Mapping[str, int]:
    """Return {source: number}, giving numbers to new sources."""
    known = _remembered(session).sources
    new = sorted(set(sources) - known.keys())
    if not new:
        return known
    insert_ignoring(session, EventSource, [{"source": source} for source in new])
    rows = session.execute(select(EventSource.source, EventSource.id).where(EventSource.source.in_(new)))
    found = dict(rows.all())
    _remember_on_commit(session, lambda remembered: remembered.sources.update(found))
    return {**known, **found}


def number_sets(session: Session, keys: Sequence[SetKey], *, now: datetime) -> list[SetNumbers]:
    """Return the numbers of dimension sets, in order; a new one registers its subject, which attributes it."""
    acts = count_acts(session)
    known = _sets_as_of(_remembered(session), acts)
    numbers = [known.get(key) for key in keys]
    new = {key for key, number in zip(keys, numbers, strict=True) if number is None}
    if not new:
        return [number for number in numbers if number is not None]
    found = _number_new_sets(session, new, now)
    _remember_on_commit(session, lambda remembered: _remember_sets(remembered, found, acts))
    return [number or found[key] for key, number in zip(keys, numbers, strict=True)]


def _number_new_sets(session: Session, new: Collection[SetKey], now: datetime) -> dict[SetKey, SetNumbers]:
    subject_ids = register_subjects(session, [_seen(key) for key in sorted(new, key=_names_last)], now=now)
    by_digest = {set_digest(key): key for key in new}
    insert_ignoring(
        session,
        DimensionSet,
        [
            {
                "digest": digest,
                "event_type": (key := by_digest[digest]).event_type,
                "subject_id": subject_ids[key.subject],
                "measured": key.measured,
                "dimensions": msgspec.to_builtins(key.dimensions),
            }
            for digest in sorted(by_digest)
        ],
    )
    return {
        by_digest[digest]: SetNumbers(set_id, subject_id, commitment_of(by_digest[digest]))
        for digest, set_id, subject_id in _select_sets(session, sorted(by_digest))
    }


def _select_sets(session: Session, digests: list[bytes]) -> Iterable[Any]:
    for start in range(0, len(digests), CHUNK):
        query = select(DimensionSet.digest, DimensionSet.id, DimensionSet.subject_id)
        yield from session.execute(query.where(DimensionSet.digest.in_(digests[start : start + CHUNK])))


def _seen(key: SetKey) -> SeenSubject:
    consumer = key.dimensions.consumer
    credential = _text(key.dimensions.credential)
    if not isinstance(consumer, msgspec.Struct):
        return SeenSubject(key.subject, credential=credential)
    return SeenSubject(key.subject, _text(consumer.id), _text(consumer.username), _text(consumer.custom_id), credential)


def _text(value: str | msgspec.UnsetType | None) -> str | None:
    return value if isinstance(value, str) else None


def _names_last(key: SetKey) -> bool:
    # Of one subject's sets the registry takes the last: let that be one which names the consumer.
    return isinstance(key.dimensions.consumer, msgspec.Struct)


def _remembered(session: Session) -> Remembered:
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    return _by_engine.setdefault(engine, Remembered())


def _sets_as_of(remembered: Remembered, acts: int) -> Mapping[SetKey, SetNumbers]:
    """Return the remembered sets; none if somebody was forgotten since, for then some are gone."""
    if remembered.acts != acts:
        remembered.sets, remembered.acts = {}, acts
    return remembered.sets


def _remember_sets(remembered: Remembered, found: Mapping[SetKey, SetNumbers], acts: int) -> None:
    if remembered.acts != acts:
        return
    if len(remembered.sets) > MOST_REMEMBERED:
        # The older half goes: what is still in use comes back with its next event.
        remembered.sets = dict(islice(remembered.sets.items(), MOST_REMEMBERED // 2, None))
    remembered.sets.update(found)


def _remember_on_commit(session: Session, remember: Callable[[Remembered], None]) -> None:
    remembered = _remembered(session)
    # What a rolled-back transaction numbered is in no table: remember only what was committed.
    event.listen(session, "after_commit", lambda _session: remember(remembered), once=True)
