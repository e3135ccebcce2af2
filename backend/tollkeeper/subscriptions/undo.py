"""Take back what was planned for a subscription and has not come yet: an end, a change, a pause and the like."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import Plan, PlanKind, PlanVersion
from tollkeeper.errors import Conflict
from tollkeeper.subscriptions.add_ons import undo_add_ons
from tollkeeper.subscriptions.changing import finish_change, lock_subscription
from tollkeeper.subscriptions.override import undo_overrides
from tollkeeper.subscriptions.subscribe import refuse_overlap
from tollkeeper.subscriptions.tables import (
    Subscription,
    SubscriptionPause,
    SubscriptionQuantity,
    SubscriptionTerm,
)
from tollkeeper.subscriptions.timeline import load_timeline

Planned = Literal["cancel", "change_plan", "pause", "quantity", "add_on", "override"]


def undo(session: Session, subscription_id: str, planned: Planned, *, now: datetime) -> Subscription:
    """Take back every planned act of a kind; what it would have changed is billed as if it had not been planned.

    Raises NotFound, and Conflict when nothing of the kind is planned, or when the customer subscribed to the
    plan anew for the time after the end.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    moment = UNDO[planned](session, subscription, now)
    if moment is None:
        raise Conflict(f"no {planned} of subscription {subscription.id} is still to come", code="nothing_planned")
    return finish_change(session, timeline, moment=moment)


def _undo_cancel(session: Session, subscription: Subscription, now: datetime) -> datetime | None:
    ends_at = subscription.ends_at
    if ends_at is None or ends_at <= now:
        return None
    refuse_overlap(
        session, subscription.customer_id, subscription.plan_key, start=ends_at, ends_at=None, but=subscription.id
    )
    subscription.ends_at = None
    subscription.is_rest_forfeited = False
    subscription.status = "active"
    subscription.canceled_at = None
    return ends_at


def _undo_change(session: Session, subscription: Subscription, now: datetime) -> datetime | None:
    terms = session.scalars(
        select(SubscriptionTerm)
        .where(
            SubscriptionTerm.subscription_id == subscription.id,
            SubscriptionTerm.kind == PlanKind.PLAN,
            SubscriptionTerm.removed_at.is_(None),
        )
        .order_by(SubscriptionTerm.starts_at)
    ).all()
    planned = [term for term in terms[1:] if term.starts_at > now]
    if not planned:
        return None
    for term in planned:
        term.removed_at = now
    last = next(term for term in reversed(terms) if term.removed_at is None)
    plan = session.get_one(Plan, session.get_one(PlanVersion, last.plan_version_id).plan_id)
    if plan.key != subscription.plan_key:
        start, ends_at = planned[0].starts_at, subscription.ends_at
        refuse_overlap(session, subscription.customer_id, plan.key, start=start, ends_at=ends_at, but=subscription.id)
    subscription.plan_key = plan.key
    subscription.plan_version_id = last.plan_version_id
    return planned[0].starts_at


def _undo_pause(session: Session, subscription: Subscription, now: datetime) -> datetime | None:
    rows = session.scalars(
        select(SubscriptionPause).where(
            SubscriptionPause.subscription_id == subscription.id,
            SubscriptionPause.removed_at.is_(None),
            SubscriptionPause.starts_at > now,
        )
    ).all()
    for row in rows:
        row.removed_at = now
    return min((row.starts_at for row in rows), default=None)


def _undo_quantity(session: Session, subscription: Subscription, now: datetime) -> datetime | None:
    planned = (
        SubscriptionQuantity.subscription_id == subscription.id,
        SubscriptionQuantity.starts_at > max(now, subscription.started_at),
    )
    first = session.scalar(select(SubscriptionQuantity.starts_at).where(*planned).order_by("starts_at").limit(1))
    session.execute(delete(SubscriptionQuantity).where(*planned))
    return first


UNDO: dict[Planned, Callable[[Session, Subscription, datetime], datetime | None]] = {
    "cancel": _undo_cancel,
    "change_plan": _undo_change,
    "pause": _undo_pause,
    "quantity": _undo_quantity,
    "add_on": undo_add_ons,
    "override": undo_overrides,
}
