"""Find a person's identifiers in the event store, and put irreversible pseudonyms in their place.

Events keep their number, time, route and measured numbers; totals follow their dimension sets. Digests are sums, so
what the events added is taken out and what they add now is put in, in the same transaction: a difference that was
there before stays one.
"""

import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Subject
from tollkeeper.errors import Conflict
from tollkeeper.metering.commitments import commitment_of
from tollkeeper.metering.digest_tables import EventDigest
from tollkeeper.metering.digests import DAY_US, DIGEST_BYTES, MODULUS_MASK, event_digest, fold_digests
from tollkeeper.metering.dimensions import SetKey, join_data, set_digest, split_data
from tollkeeper.metering.keeping_tables import ForgottenDay
from tollkeeper.metering.kong_request import Dimensions
from tollkeeper.metering.read import source_names
from tollkeeper.metering.rows import EventRow
from tollkeeper.metering.tables import DimensionSet, HourlyTotal, OddTotal, StoredEvent

CONSUMER_FIELDS = ("id", "username", "custom_id")
CONSUMER = "consumer:"
CHUNK = 1_000
_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """By what a person is known: values by kind, and other fields of `data` with the person's values in them."""

    subjects: Collection[str] = ()
    consumer_ids: Collection[str] = ()
    usernames: Collection[str] = ()
    custom_ids: Collection[str] = ()
    credentials: Collection[str] = ()
    fields: Mapping[str, Collection[str]] = field(default_factory=dict)


class SetChange(NamedTuple):
    """A dimension set that names the person: its number, whose it is, and what it was and becomes."""

    set_id: int
    subject_id: int
    old: SetKey
    new: SetKey


@dataclass(frozen=True, slots=True)
class Found:
    """What a person's identifiers are, each with its pseudonym, and the dimension sets that name them."""

    names: Mapping[str, str]
    subjects: Mapping[str, str]
    changes: Mapping[int, SetChange]


@dataclass(slots=True)
class Rewritten:
    """How many events were rewritten, and by subject and day what their digests changed by."""

    events: int = 0
    deltas: dict[tuple[int, int], int] = field(default_factory=dict)


def find_person(session: Session, person: Person) -> Found:
    """Return all that names the person: a consumer that one name finds is found under its others, too."""
    sets = list(_sets(session))
    rows: Any = session.execute(select(Subject.subject, Subject.consumer_id, Subject.username, Subject.custom_id)).all()
    blocks: set[tuple[str | None, ...]] = {(key.subject, *_consumer_of(key.dimensions)) for _, _, key in sets} | {
        tuple(row) for row in rows
    }
    words: tuple[set[str], ...] = (set(person.consumer_ids), set(person.usernames), set(person.custom_ids))
    for _ in range(2):  # by a name to the id, and by the id to earlier names
        for subject, *block in blocks:
            is_named = any(value in known for value, known in zip(block, words, strict=True))
            if is_named or (subject in person.subjects and subject == f"{CONSUMER}{block[0]}"):
                for value, known in zip(block, words, strict=True):
                    known.update([value] if value else [])
    ids = {word for known in words for word in known}
    credentials = set(person.credentials) | {
        str(key.dimensions.credential)
        for _, _, key in sets
        if isinstance(key.dimensions.credential, str) and ids & set(_consumer_of(key.dimensions))
    }
    names = {name: f"forgotten-{secrets.token_hex(12)}" for name in sorted(ids | credentials)}
    everybody = {key.subject for _, _, key in sets} | {row[0] for row in rows}
    named = {subject for subject in everybody if subject.removeprefix(CONSUMER) in ids or subject in person.subjects}
    subjects = {subject: _pseudonym(subject, names) for subject in sorted(named)}
    changes = {}
    for set_id, subject_id, key in sets:
        new = _renamed(key, names, subjects)
        if new != key:
            changes[set_id] = SetChange(set_id, subject_id, key, new)
    return Found(names, subjects, changes)


def subjects_with_fields(session: Session, person: Person) -> set[int]:
    """Return the numbers of the subjects whose events have the person's values in other fields of `data`."""
    if not person.fields:
        return set()
    keys = {set_id: (subject_id, key) for set_id, subject_id, key in _sets(session)}
    return {
        keys[row.set_id][0]
        for row in _rows(session)
        if row.set_id in keys and _with_fields_replaced(row, keys[row.set_id][1], person, {}) is not None
    }


def rewrite_events(session: Session, person: Person, found: Found) -> Rewritten:
    """Put the pseudonyms into events, dimension sets, totals and digests."""
    while fold_digests(session):
        pass
    keys = {set_id: (subject_id, key) for set_id, subject_id, key in _sets(session)}
    new_ids = _store_sets(session, found)
    sources = {number: name.encode() for number, name in source_names(session).items()}
    done, pseudonyms, rewritten = Rewritten(), dict[str, str](), list[dict[str, Any]]()
    for row in _rows(session, None if person.fields else found.changes.keys()):
        if row.set_id not in keys:
            continue
        subject_id, key = keys[row.set_id]
        change = found.changes.get(row.set_id)
        payload = _with_fields_replaced(row, key, person, pseudonyms)
        if change is None and payload is None:
            continue
        new = row._replace(set_id=new_ids.get(row.set_id, row.set_id), payload=payload or row.payload)
        _note(done, subject_id, (row, key), (new, change.new if change else key), sources[row.source_id])
        rewritten.append({f"new_{name}": value for name, value in new._asdict().items()})
    _update(session, rewritten)
    _move_totals(session, new_ids)
    _apply_deltas(session, done)
    return done


def note_days(session: Session, act_id: str, done: Rewritten) -> None:
    """Keep by how much the act changed each day's digest over all subjects: older exports can still be proved."""
    by_day: dict[int, int] = {}
    for (day, _), delta in done.deltas.items():
        by_day[day] = by_day.get(day, 0) + delta
    session.add_all(
        ForgottenDay(act_id=act_id, day=day, delta=_to_bytes(delta)) for day, delta in sorted(by_day.items())
    )


def _sets(session: Session) -> Iterator[tuple[int, int, SetKey]]:
    query = select(
        DimensionSet.id,
        DimensionSet.subject_id,
        DimensionSet.event_type,
        Subject.subject,
        DimensionSet.dimensions,
        DimensionSet.measured,
    ).join(Subject, Subject.id == DimensionSet.subject_id)
    rows: Any = session.execute(query)
    for set_id, subject_id, event_type, subject, dimensions, measured in rows:
        yield set_id, subject_id, SetKey(event_type, subject, msgspec.convert(dimensions, Dimensions), measured)


def _consumer_of(dimensions: Dimensions) -> tuple[str | None, ...]:
    consumer = dimensions.consumer
    if not isinstance(consumer, msgspec.Struct):
        return None, None, None
    values = (getattr(consumer, name) for name in CONSUMER_FIELDS)
    return tuple(value if isinstance(value, str) else None for value in values)


def _pseudonym(subject: str, names: Mapping[str, str]) -> str:
    bare = subject.removeprefix(CONSUMER)
    prefix = CONSUMER if bare != subject else ""
    return prefix + (names.get(bare) or f"forgotten-{secrets.token_hex(12)}")


def _renamed(key: SetKey, names: Mapping[str, str], subjects: Mapping[str, str]) -> SetKey:
    plain = msgspec.to_builtins(key.dimensions)
    consumer = plain.get("consumer")
    if isinstance(consumer, dict):
        plain["consumer"] = {name: names.get(value, value) if value else value for name, value in consumer.items()}
    if isinstance(plain.get("credential"), str):
        plain["credential"] = names.get(plain["credential"], plain["credential"])
    dimensions = msgspec.convert(plain, Dimensions)
    return SetKey(key.event_type, subjects.get(key.subject, key.subject), dimensions, key.measured)


def _rows(session: Session, set_ids: Collection[int] | None = None) -> Iterator[EventRow]:
    columns = [getattr(StoredEvent, name) for name in EventRow._fields]
    query = select(*columns).execution_options(yield_per=2_000)
    wanted = None if set_ids is None or len(set_ids) > CHUNK else sorted(set_ids)
    rows: Any = session.execute(query if wanted is None else query.where(StoredEvent.set_id.in_(wanted)))
    for row in rows:
        if set_ids is None or row.set_id in set_ids:
            yield EventRow(*row)


def _with_fields_replaced(row: EventRow, key: SetKey, person: Person, pseudonyms: dict[str, str]) -> bytes | None:
    """Return the payload with pseudonyms for the person's values; None if it holds none of them."""
    values = {value for some in person.fields.values() for value in some}
    if not any(_json.encode(value)[1:-1] in row.payload for value in values):
        return None
    data = join_data(key.event_type, msgspec.to_builtins(key.dimensions), row.payload)
    is_found = False
    for path, some in person.fields.items():
        *parents, name = path.split(".")
        group = data
        for parent in parents:
            group = group.get(parent) if isinstance(group, dict) else None
        if isinstance(group, dict) and isinstance(group.get(name), str) and group[name] in some:
            group[name] = pseudonyms.setdefault(group[name], f"forgotten-{secrets.token_hex(12)}")
            is_found = True
    if not is_found:
        return None
    split = split_data(key.event_type, data)
    if (split.dimensions, split.measured) != (key.dimensions, key.measured):
        raise Conflict(
            "a field to be forgotten is a dimension or a number that totals count; name the consumer instead"
        )
    return split.payload


def _store_sets(session: Session, found: Found) -> dict[int, int]:
    """Insert the sets without the person, take the old ones away; return the new numbers by the old ones."""
    numbers = {}
    for set_id, change in sorted(found.changes.items()):
        new = DimensionSet(
            digest=set_digest(change.new),
            event_type=change.new.event_type,
            subject_id=change.subject_id,
            measured=change.new.measured,
            dimensions=msgspec.to_builtins(change.new.dimensions),
        )
        session.add(new)
        session.flush()
        numbers[set_id] = new.id
    session.execute(delete(DimensionSet).where(DimensionSet.id.in_(numbers)))
    return numbers


def _note(
    done: Rewritten, subject_id: int, old: tuple[EventRow, SetKey], new: tuple[EventRow, SetKey], source: bytes
) -> None:
    before, after = (
        event_digest(row.time_us, source, row.id_key, row.id_text, commitment_of(key), row.payload)
        for row, key in (old, new)
    )
    place = (old[0].time_us // DAY_US, subject_id)
    done.deltas[place] = done.deltas.get(place, 0) + after - before
    done.events += 1


def _update(session: Session, rewritten: list[dict[str, Any]]) -> None:
    events = StoredEvent.__table__
    changed = (
        update(StoredEvent)
        .where(
            events.c.time_us == bindparam("new_time_us"),
            events.c.source_id == bindparam("new_source_id"),
            events.c.id_key == bindparam("new_id_key"),
        )
        .values(set_id=bindparam("new_set_id"), payload=bindparam("new_payload"))
    )
    for start in range(0, len(rewritten), CHUNK):
        session.connection().execute(changed, rewritten[start : start + CHUNK])


def _move_totals(session: Session, new_ids: Mapping[int, int]) -> None:
    for old, new in sorted(new_ids.items()):
        session.execute(update(HourlyTotal).where(HourlyTotal.set_id == old).values(set_id=new))
        session.execute(update(OddTotal).where(OddTotal.set_id == old).values(set_id=new))


def _apply_deltas(session: Session, done: Rewritten) -> None:
    """Change each day's digest of a subject in its first row: what is compared is the sum over days of arrival."""
    for (day, subject_id), delta in sorted(done.deltas.items()):
        row = session.scalars(
            select(EventDigest)
            .where(EventDigest.day == day, EventDigest.subject_id == subject_id)
            .order_by(EventDigest.arrived_day)
            .limit(1)
        ).first()
        if row is not None:
            row.digest = _to_bytes(int.from_bytes(row.digest, "big") + delta)
    session.flush()


def _to_bytes(total: int) -> bytes:
    return (total & MODULUS_MASK).to_bytes(DIGEST_BYTES, "big")
