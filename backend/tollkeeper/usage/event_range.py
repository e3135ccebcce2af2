"""The proof behind a line: which events it counts, as a range, a number and a digest."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.subscriptions.coverage import CoveredStretch
from tollkeeper.usage.reading import EventRange, Want, read_usage


def event_range_of(session: Session, customer_id: str, feature_key: str, start: datetime, end: datetime) -> EventRange:
    """Return the range of the events that `usage_of` counts: one customer's own."""
    return pooled_event_range(session, feature_key, [CoveredStretch(customer_id, start, end)])


def pooled_event_range(session: Session, feature_key: str, stretches: Sequence[CoveredStretch]) -> EventRange:
    """Return the range of the events that `pooled_usage` counts, read from the raw events.

    The digest is the SHA-256 over the events sorted by (time, source, id), each as its time in microseconds
    and the lengths and bytes of source, id and content; the content is the canonical JSON of `data` without
    what two captures of one request may measure differently. Any change or loss of an event changes it.
    """
    want = Want(feature_key, tuple(stretches))
    return read_usage(session, [want])[want].events
