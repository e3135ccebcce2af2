"""How much of its entitlements a customer has used: counted now, from the events stored."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.tables import Customer
from tollkeeper.entitlements.allotments import Allotment, allotments_at
from tollkeeper.entitlements.verdict import Verdict, judge, paused
from tollkeeper.subscriptions.coverage import covered_stretches
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import load_timelines
from tollkeeper.usage.usage_of import pooled_usage


@dataclass(frozen=True, slots=True)
class UsedBy:
    """What one covered customer used of an entitlement; maxima and unique counts need not add up to the whole."""

    customer_id: str
    used: Decimal
    event_count: int


@dataclass(frozen=True, slots=True)
class Balance:
    """An entitlement, what was used of it in its period and by whom; `verdict` is None for static ones."""

    allotment: Allotment
    used: Decimal
    used_by: tuple[UsedBy, ...]
    verdict: Verdict | None

    @property
    def remaining(self) -> Decimal | None:
        """Return what is left, never negative; None for what has no limit."""
        quota = self.allotment.quota
        return None if quota is None else max(quota.limit - self.used, Decimal(0))


def entitlement_balances(session: Session, customer_id: str, *, now: datetime) -> list[Balance]:
    """Return the balances of the subscriptions that cover the customer (id or key); raises NotFound.

    They are its own, or else those of the nearest parent that has any. The usage of all whom a subscription
    covers counts.
    """
    subscriptions = covering_subscriptions(session, get_customer(session, customer_id), now=now)
    timelines = load_timelines(session, subscriptions)
    return [
        balance_of(session, timeline.subscription, allotment)
        for timeline in timelines
        for allotment in allotments_at(timeline, now)
    ]


def covering_subscriptions(session: Session, customer: Customer, *, now: datetime) -> list[Subscription]:
    """Return the active subscriptions of the customer, or else of its nearest ancestor that has any."""
    holder: Customer | None = customer
    while holder is not None:
        found = session.scalars(
            select(Subscription)
            .where(Subscription.customer_id == holder.id, Subscription.started_at <= now)
            .where(or_(Subscription.ends_at.is_(None), Subscription.ends_at > now))
            .order_by(Subscription.id)
        ).all()
        if found:
            return list(found)
        holder = None if holder.parent_id is None else session.get_one(Customer, holder.parent_id)
    return []


def balance_of(session: Session, subscription: Subscription, allotment: Allotment) -> Balance:
    """Count one entitlement's usage in its period, by all whom the subscription covers."""
    if allotment.quota is None or allotment.period is None:
        return Balance(allotment, Decimal(0), (), None)
    stretches = covered_stretches(session, subscription, allotment.period.start, allotment.period.end)
    pool = pooled_usage(session, allotment.feature_key, stretches)
    used_by = tuple(
        UsedBy(customer_id, usage.quantity, usage.event_count) for customer_id, usage in pool.by_customer.items()
    )
    verdict = paused() if allotment.is_paused else judge(pool.whole.quantity, allotment.quota)
    return Balance(allotment, pool.whole.quantity, used_by, verdict)
