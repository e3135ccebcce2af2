"""Move a subscription to another plan, or to its plan's newest version."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import get_published_version
from tollkeeper.catalog.tables import PlanKind
from tollkeeper.catalog.versions import spec_of
from tollkeeper.errors import Conflict
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.changing import When, finish_change, lock_subscription, moment_of
from tollkeeper.subscriptions.subscribe import check_currency, refuse_overlap
from tollkeeper.subscriptions.tables import Subscription, SubscriptionTerm
from tollkeeper.subscriptions.timeline import load_timeline


def change_plan(session: Session, subscription_id: str, plan_key: str, *, at: When, now: datetime) -> Subscription:
    """Let the plan's published version hold from `at` on; the anchor stays, phases begin anew.

    A change that was scheduled for the same time or later is replaced. Raises NotFound, Conflict when the
    subscription has ended, is on this version already, or when the customer is on that plan by another one.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    version = get_published_version(session, plan_key)
    timeline = load_timeline(session, subscription)
    moment = moment_of(timeline, at, now=now)
    segment = timeline.segment_at(moment)
    if segment is not None and segment.plan_version_id == version.id:
        raise Conflict(f"the subscription is on this version of plan {plan_key!r} at that time already")
    if subscription.ends_at is not None and subscription.ends_at <= moment:
        raise Conflict("the subscription ends before that time", code="subscription_ended")
    check_currency(spec_of(version), subscription.currency, "/plan")
    if plan_key != subscription.plan_key:
        refuse_overlap(
            session, subscription.customer_id, plan_key, start=moment, ends_at=subscription.ends_at, but=subscription.id
        )
    session.execute(
        update(SubscriptionTerm)
        .where(
            SubscriptionTerm.subscription_id == subscription.id,
            SubscriptionTerm.kind == PlanKind.PLAN,
            SubscriptionTerm.starts_at >= moment,
            SubscriptionTerm.removed_at.is_(None),
        )
        .values(removed_at=now)
    )
    session.add(
        SubscriptionTerm(
            id=new_id("term"), subscription_id=subscription.id, plan_version_id=version.id, starts_at=moment
        )
    )
    subscription.plan_key = plan_key
    subscription.plan_version_id = version.id
    return finish_change(session, timeline, moment=moment)
