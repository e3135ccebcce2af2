"""Which subjects' events in which stretch of time are a customer's own."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.customers.subjects import subjects_of_customer
from tollkeeper.customers.tables import Attribution
from tollkeeper.errors import InvalidInput
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.measure import Span


def spans_of_customer(session: Session, customer_id: str, start: datetime, end: datetime) -> list[Span]:
    """Cut the customer's attributions to [start, end); subjects with the same stretch share a span."""
    return cut_spans(subjects_of_customer(session, customer_id), start, end)


def cut_spans(attributions: Iterable[Attribution], start: datetime, end: datetime) -> list[Span]:
    """Cut attributions that are at hand; pure."""
    if start > end:
        raise InvalidInput.of("/from", "is after the end")
    stretches: dict[tuple[int, int], set[str]] = defaultdict(set)
    for attribution in attributions:
        first = max(start, attribution.valid_from)
        last = end if attribution.valid_to is None else min(end, attribution.valid_to)
        if first < last:
            stretches[microseconds_of(first), microseconds_of(last)].add(attribution.subject)
    return [Span(frozenset(subjects), *stretch) for stretch, subjects in sorted(stretches.items())]
