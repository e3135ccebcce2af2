"""Whose usage a subscription covers: its customer's own, and that of descendants without a plan of their own.

A subsidiary that gets a subscription of its own, or is below one that has, leaves its parent's plan for as
long as that subscription is active; what it used before and after belongs to the parent's plan.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import family_of
from tollkeeper.customers.tables import Customer
from tollkeeper.subscriptions.periods import Period
from tollkeeper.subscriptions.tables import Subscription


@dataclass(frozen=True, slots=True)
class CoveredStretch:
    """From `start` until `end` the customer's own usage is covered."""

    customer_id: str
    start: datetime
    end: datetime


class Coverage:
    """The family trees of customers and the times of their subscriptions, pure once loaded."""

    def __init__(self, parents: dict[str, str | None], subscriptions: Iterable[Subscription]) -> None:
        self._children: dict[str, list[str]] = defaultdict(list)
        for customer_id, parent_id in parents.items():
            if parent_id is not None:
                self._children[parent_id].append(customer_id)
        self._subscribed: dict[str, list[tuple[datetime, datetime | None]]] = defaultdict(list)
        for one in subscriptions:
            self._subscribed[one.customer_id].append((one.started_at, one.ends_at))

    def stretches(self, customer_id: str, start: datetime, end: datetime) -> list[CoveredStretch]:
        """Return what a subscription of the customer covers in `[start, end)`, the customer itself first."""
        return list(self._walk(customer_id, [Period(start, end)]))

    def _walk(self, customer_id: str, free: Sequence[Period]) -> Iterator[CoveredStretch]:
        for period in free:
            yield CoveredStretch(customer_id, period.start, period.end)
        for child in self._children.get(customer_id, ()):
            left = list(free)
            for taken_from, taken_to in self._subscribed.get(child, ()):
                left = [piece for period in left for piece in _without(period, taken_from, taken_to)]
            if left:
                yield from self._walk(child, left)


def load_coverage(session: Session) -> Coverage:
    """Return the coverage of all customers."""
    parents = {row.id: row.parent_id for row in session.execute(select(Customer.id, Customer.parent_id))}
    return Coverage(parents, session.scalars(select(Subscription)))


def coverage_below(session: Session, customer_id: str) -> Coverage:
    """Return the coverage of one customer and its descendants: enough for its own subscriptions."""
    family = family_of(session, customer_id)
    ids = [customer.id for customer in family]
    owned = session.scalars(select(Subscription).where(Subscription.customer_id.in_(ids))).all()
    return Coverage({customer.id: customer.parent_id for customer in family}, owned)


def covered_stretches(
    session: Session, subscription: Subscription, start: datetime, end: datetime
) -> list[CoveredStretch]:
    """Return whose usage counts for one subscription in `[start, end)`, and when."""
    return coverage_below(session, subscription.customer_id).stretches(subscription.customer_id, start, end)


def _without(period: Period, start: datetime, end: datetime | None) -> list[Period]:
    """Return what is left of the period outside `[start, end)`."""
    if end is not None and end <= start:
        return [period]
    pieces = []
    if period.start < start:
        pieces.append(Period(period.start, min(period.end, start)))
    if end is not None and end < period.end:
        pieces.append(Period(max(period.start, end), period.end))
    return [piece for piece in pieces if piece.start < piece.end]
