"""Say what moving a consumer to another customer would change, before it is done; nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer, payer_of
from tollkeeper.customers.map_consumer import subjects_named
from tollkeeper.customers.tables import ConsumerMapping, Customer
from tollkeeper.invoices.tables import Invoice
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.meters import get_meter

MOST_INVOICES = 20


@dataclass(frozen=True, slots=True)
class PreviewedMove:
    """`requests` so far that go with the consumer; `invoices` of `payer` reach past the date and stay, newest first."""

    requests: int
    payer: Customer
    invoices: Sequence[Invoice]


def preview_move(session: Session, mapping: ConsumerMapping, *, since: datetime, now: datetime) -> PreviewedMove:
    """Count what a move of the mapped consumer from `since` on takes along, and name at most 20 invoices it touches."""
    subjects = frozenset(row.subject for row in subjects_named(session, mapping))
    requests = 0
    if subjects and since < now:
        span = Span(subjects, microseconds_of(since), microseconds_of(now))
        for aggregate in measure(session, Question(get_meter(session, "requests")), [span]).values():
            requests = int(aggregate.quantity() or 0)
    payer = payer_of(session, get_customer(session, mapping.customer_id))
    issued = (
        select(Invoice)
        .where(Invoice.customer_id == payer.id, Invoice.issued_at.is_not(None), Invoice.voided_at.is_(None))
        .where(Invoice.period_end > since)
        .order_by(Invoice.id.desc())
        .limit(MOST_INVOICES)
    )
    return PreviewedMove(requests, payer, session.scalars(issued).all())
