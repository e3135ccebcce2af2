"""The proof behind a line: which events it counts, as a range, a number and a digest."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.metering.dimensions import content_of
from tollkeeper.metering.event import instant_of
from tollkeeper.metering.read import ReadEvent, source_names
from tollkeeper.metering.rows import id_of
from tollkeeper.subscriptions.coverage import CoveredStretch
from tollkeeper.usage.counted_events import counted_events
from tollkeeper.usage.usage_of import question_of


@dataclass(frozen=True, slots=True)
class EventRange:
    """The events behind a number; the times are None where there are none."""

    first_time: datetime | None
    last_time: datetime | None
    count: int
    digest: str


def event_range_of(session: Session, customer_id: str, feature_key: str, start: datetime, end: datetime) -> EventRange:
    """Return the range of the events that `usage_of` counts: one customer's own."""
    return pooled_event_range(session, feature_key, [CoveredStretch(customer_id, start, end)])


def pooled_event_range(session: Session, feature_key: str, stretches: Sequence[CoveredStretch]) -> EventRange:
    """Return the range of the events that `pooled_usage` counts, read from the raw events.

    The digest is the SHA-256 over the events sorted by (time, source, id), each as its time in microseconds
    and the lengths and bytes of source, id and content; the content is the canonical JSON of `data` without
    what two captures of one request may measure differently. Any change or loss of an event changes it.
    """
    question = question_of(session, feature_key)
    sources = source_names(session)
    events = sorted(
        (event.time_us, sources[event.source_id], id_of(event.id_key, event.id_text), _content_digest(event))
        for event, _, _ in counted_events(session, question, stretches)
    )
    digest = hashlib.sha256()
    for time_us, source, event_id, content in events:
        digest.update(struct.pack(">q", time_us))
        for part in (source.encode(), event_id.encode(), content):
            digest.update(struct.pack(">I", len(part)) + part)
    if not events:
        return EventRange(None, None, 0, digest.hexdigest())
    return EventRange(instant_of(events[0][0]), instant_of(events[-1][0]), len(events), digest.hexdigest())


def _content_digest(event: ReadEvent) -> bytes:
    named = f"{event.facts.event_type}\0{event.facts.subject}\0".encode()
    return hashlib.sha256(named + content_of(event.facts.event_type, event.data)).digest()
