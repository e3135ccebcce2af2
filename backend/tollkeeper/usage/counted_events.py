"""The events that a feature's usage counts, read one by one, past every total."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy.orm import Session

from tollkeeper.metering.measure import Question, event_matches, event_value, matching_sets
from tollkeeper.metering.read import ReadEvent, read_events
from tollkeeper.metering.values import NoNumber
from tollkeeper.subscriptions.coverage import CoveredStretch
from tollkeeper.usage.spans import owned_spans


class CountedEvent(NamedTuple):
    """An event, its value for the meter, and the customer whose usage it is."""

    event: ReadEvent
    value: Decimal | str
    customer_id: str


def counted_events(session: Session, question: Question, stretches: Sequence[CoveredStretch]) -> Iterator[CountedEvent]:
    """Yield the events behind `pooled_usage` of these stretches, each once."""
    for span, owner_of in owned_spans(session, stretches):
        sets = matching_sets(session, question, span.subjects)
        if not sets:
            continue
        for event in read_events(session, sets, span.start_us, span.end_us):
            if not event_matches(question, event.facts, event.data):
                continue
            try:
                value = event_value(question, event.facts, event.data)
            except NoNumber:
                continue
            yield CountedEvent(event, value, owner_of[event.facts.subject])
