"""Which subjects' events in which stretch of time are a customer's own."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Attribution
from tollkeeper.errors import InvalidInput
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.measure import Span
from tollkeeper.subscriptions.coverage import CoveredStretch

CHUNK = 5_000


class OwnedSpan(NamedTuple):
    """A span, and whose usage each of its subjects' is: {subject: customer id}."""

    span: Span
    owners: Mapping[str, str]


def spans_of_customer(session: Session, customer_id: str, start: datetime, end: datetime) -> list[Span]:
    """Cut the customer's attributions to [start, end); subjects with the same stretch share a span."""
    return [span for span, _ in owned_spans(session, [CoveredStretch(customer_id, start, end)])]


def owned_spans(session: Session, stretches: Sequence[CoveredStretch]) -> list[OwnedSpan]:
    """Cut the attributions of each stretch's customer to it; subjects with the same cut share a span.

    A subject is one customer's at an instant, so no event is in two spans.
    """
    return owned_spans_of(attributions_of(session, {stretch.customer_id for stretch in stretches}), stretches)


def owned_spans_of(
    attributions: Mapping[str, Sequence[Attribution]], stretches: Sequence[CoveredStretch]
) -> list[OwnedSpan]:
    """Do the same with the attributions of each customer at hand; pure."""
    owners: dict[tuple[int, int], dict[str, str]] = defaultdict(dict)
    for customer_id, start, end in ((one.customer_id, one.start, one.end) for one in stretches):
        for span in cut_spans(attributions.get(customer_id, ()), start, end):
            owners[span.start_us, span.end_us] |= dict.fromkeys(span.subjects or (), customer_id)
    return [OwnedSpan(Span(frozenset(its), *cut), its) for cut, its in sorted(owners.items())]


def attributions_of(session: Session, customer_ids: Iterable[str]) -> Mapping[str, list[Attribution]]:
    """Return the attributions of each of the customers."""
    wanted = sorted(customer_ids)
    found: dict[str, list[Attribution]] = defaultdict(list)
    for first in range(0, len(wanted), CHUNK):
        chunk = wanted[first : first + CHUNK]
        for row in session.scalars(select(Attribution).where(Attribution.customer_id.in_(chunk))):
            found[row.customer_id].append(row)
    return found


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
