"""The proof behind a line: which events it counts, as a range, a number and a digest."""

import hashlib
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.metering.dimensions import content_of
from tollkeeper.metering.event import instant_of
from tollkeeper.metering.measure import Question, Span, event_matches, event_value, matching_sets
from tollkeeper.metering.read import ReadEvent, read_events, source_names
from tollkeeper.metering.rows import id_of
from tollkeeper.metering.values import NoNumber
from tollkeeper.usage.spans import spans_of_customer
from tollkeeper.usage.usage_of import question_of


@dataclass(frozen=True, slots=True)
class EventRange:
    """The events behind a number; the times are None where there are none."""

    first_time: datetime | None
    last_time: datetime | None
    count: int
    digest: str


def event_range_of(session: Session, customer_id: str, feature_key: str, start: datetime, end: datetime) -> EventRange:
    """Return the range of the events that `usage_of` counts, read from the raw events.

    The digest is the SHA-256 over the events sorted by (time, source, id), each as its time in microseconds
    and the lengths and bytes of source, id and content; the content is the canonical JSON of `data` without
    what two captures of one request may measure differently. Any change or loss of an event changes it.
    """
    question = question_of(session, feature_key)
    sources = source_names(session)
    events = sorted(
        (event.time_us, sources[event.source_id], id_of(event.id_key, event.id_text), _content_digest(event))
        for span in spans_of_customer(session, customer_id, start, end)
        for event in _counted(session, question, span)
    )
    digest = hashlib.sha256()
    for time_us, source, event_id, content in events:
        digest.update(struct.pack(">q", time_us))
        for part in (source.encode(), event_id.encode(), content):
            digest.update(struct.pack(">I", len(part)) + part)
    if not events:
        return EventRange(None, None, 0, digest.hexdigest())
    return EventRange(instant_of(events[0][0]), instant_of(events[-1][0]), len(events), digest.hexdigest())


def _counted(session: Session, question: Question, span: Span) -> Iterator[ReadEvent]:
    sets = matching_sets(session, question, span.subjects)
    if not sets:
        return
    for event in read_events(session, sets, span.start_us, span.end_us):
        if event_matches(question, event.facts, event.data):
            with suppress(NoNumber):
                event_value(question, event.facts, event.data)
                yield event


def _content_digest(event: ReadEvent) -> bytes:
    named = f"{event.facts.event_type}\0{event.facts.subject}\0".encode()
    return hashlib.sha256(named + content_of(event.facts.event_type, event.data)).digest()
