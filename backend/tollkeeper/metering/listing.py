"""List stored events, and those that a meter cannot count, page by page in order of time."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, false, or_, select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Subject
from tollkeeper.metering.dimensions import join_data
from tollkeeper.metering.event import instant_of, microseconds_of
from tollkeeper.metering.measure import Question, Span, event_matches, event_value, matching_sets
from tollkeeper.metering.read import ReadEvent, read_events, sets_by_id, source_names
from tollkeeper.metering.rows import EventKey, EventRow, id_of, key_of_id
from tollkeeper.metering.stores.archive import Selection, Stretch, archive_of
from tollkeeper.metering.stores.merged import with_archived
from tollkeeper.metering.tables import DimensionSet, EventSource, Meter, StoredEvent
from tollkeeper.metering.values import NoNumber

# A page of invalid events looks at so many events at most; what it did not reach comes with the next page.
MOST_EXAMINED = 50_000
# Numbers of sources begin at 1.
NO_SOURCE = 0


class EventPlace(NamedTuple):
    """Where a page ended: the key of the event store."""

    time_us: int
    source_id: int
    id_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to list; None means any. `spans` say whose, and when it was theirs."""

    start: datetime | None = None
    end: datetime | None = None
    event_type: str | None = None
    subject: str | None = None
    source: str | None = None
    event_id: str | None = None
    spans: Sequence[Span] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEvent:
    """A stored event as it was received; `reason` says why a meter does not count it."""

    place: EventPlace
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    data: Any
    reason: str | None = None


def list_events(
    session: Session, wanted: EventFilter, *, after: EventPlace | None = None, limit: int = 100
) -> list[ListedEvent]:
    """Return events by time, source and id, those after the given place."""
    columns = (StoredEvent.time_us, StoredEvent.source_id, StoredEvent.id_key)
    query = (
        select(*columns, StoredEvent.set_id, StoredEvent.id_text, StoredEvent.payload)
        .where(*_conditions(wanted, after))
        .order_by(*columns)
        .limit(limit)
    )
    here = [EventRow(*row) for row in session.execute(query)]
    rows = here
    if archive_of(session) is not None:
        rows = list(islice(with_archived(session, here, _selection(session, wanted, after)), limit))
    sets = sets_by_id(session, {row.set_id for row in rows})
    sources = source_names(session)
    events = []
    for row in rows:
        facts = sets[row.set_id]
        data = join_data(facts.event_type, facts.dimensions, row.payload)
        event = ReadEvent(row.time_us, row.source_id, row.id_key, row.id_text, facts, data)
        events.append(_listed(event, sources))
    return events


def list_invalid_events(
    session: Session, meter: Meter, start: datetime, end: datetime, *, after: EventPlace | None = None, limit: int = 100
) -> tuple[list[ListedEvent], EventPlace | None]:
    """Return events that the meter should count and cannot, with the reason, and where to go on (None: at the end).

    A page may hold fewer than `limit` and still have a next one: it looks at 50,000 events and no more.
    """
    question = Question(meter)
    sources = source_names(session)
    found: list[ListedEvent] = []
    place, examined = after, 0
    first_us = microseconds_of(start) if after is None else max(microseconds_of(start), after.time_us)
    sets = matching_sets(session, question, None)
    with closing(read_events(session, sets, first_us, microseconds_of(end))) as events:
        for event in events:
            here = EventPlace(event.time_us, event.source_id, event.id_key)
            if after is not None and here <= after:
                continue
            if len(found) == limit or examined == MOST_EXAMINED:
                return found, place
            place, examined = here, examined + 1
            reason = _reason(question, event)
            if reason is not None:
                found.append(replace(_listed(event, sources), reason=reason))
    return found, None


def _reason(question: Question, event: ReadEvent) -> str | None:
    if event_matches(question, event.facts, event.data):
        try:
            event_value(question, event.facts, event.data)
        except NoNumber as reason:
            return str(reason)
    return None


def _listed(event: ReadEvent, sources: dict[int, str]) -> ListedEvent:
    return ListedEvent(
        place=EventPlace(event.time_us, event.source_id, event.id_key),
        id=id_of(event.id_key, event.id_text),
        source=sources[event.source_id],
        type=event.facts.event_type,
        subject=event.facts.subject,
        time=instant_of(event.time_us),
        data=event.data,
    )


def _conditions(wanted: EventFilter, after: EventPlace | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.start is not None:
        conditions.append(StoredEvent.time_us >= microseconds_of(wanted.start))
    if wanted.end is not None:
        conditions.append(StoredEvent.time_us < microseconds_of(wanted.end))
    if wanted.event_id is not None:
        conditions.append(StoredEvent.id_key == key_of_id(wanted.event_id)[0])
    if wanted.source is not None:
        number = select(EventSource.id).where(EventSource.source == wanted.source).scalar_subquery()
        conditions.append(StoredEvent.source_id == number)
    if wanted.subject is not None or wanted.event_type is not None:
        conditions.append(StoredEvent.set_id.in_(_set_ids(wanted)))
    if wanted.spans is not None:
        conditions.append(or_(false(), *(_in_span(span) for span in wanted.spans)))
    return conditions if after is None else [*conditions, *_beyond(after)]


def _selection(session: Session, wanted: EventFilter, after: EventPlace | None) -> Selection:
    """Say the same as `_conditions` to an archive, which knows no subjects and types, only numbers of sets."""
    start_us = None if wanted.start is None else microseconds_of(wanted.start)
    end_us = None if wanted.end is None else microseconds_of(wanted.end)
    set_ids = None
    if wanted.subject is not None or wanted.event_type is not None:
        set_ids = session.scalars(_set_ids(wanted)).all()
    source_id = None
    if wanted.source is not None:
        found = session.scalar(select(EventSource.id).where(EventSource.source == wanted.source))
        source_id = NO_SOURCE if found is None else found
    return Selection(
        within=[Stretch(start_us, end_us, set_ids)],
        any_of=None if wanted.spans is None else [_stretch(session, span) for span in wanted.spans],
        source_id=source_id,
        id_key=None if wanted.event_id is None else key_of_id(wanted.event_id)[0],
        after=None if after is None else EventKey(*after),
    )


def _stretch(session: Session, span: Span) -> Stretch:
    return Stretch(span.start_us, span.end_us, session.scalars(_sets_of(span)).all())


def _sets_of(span: Span) -> Select[int]:
    of_subjects = select(DimensionSet.id).join(Subject, Subject.id == DimensionSet.subject_id)
    return of_subjects.where(Subject.subject.in_(sorted(span.subjects or ())))


def _in_span(span: Span) -> ColumnElement[bool]:
    in_time = (StoredEvent.time_us >= span.start_us, StoredEvent.time_us < span.end_us)
    return and_(*in_time, StoredEvent.set_id.in_(_sets_of(span)))


def _set_ids(wanted: EventFilter) -> Select[int]:
    query = select(DimensionSet.id)
    if wanted.event_type is not None:
        query = query.where(DimensionSet.event_type == wanted.event_type)
    if wanted.subject is not None:
        query = query.join(Subject, Subject.id == DimensionSet.subject_id).where(Subject.subject == wanted.subject)
    return query


def _beyond(after: EventPlace) -> list[ColumnElement[bool]]:
    same_source = and_(StoredEvent.source_id == after.source_id, StoredEvent.id_key > after.id_key)
    same_time = and_(StoredEvent.time_us == after.time_us, or_(StoredEvent.source_id > after.source_id, same_source))
    # The first condition is what the key can serve.
    return [StoredEvent.time_us >= after.time_us, or_(StoredEvent.time_us > after.time_us, same_time)]
