"""End a subscription: now, at the period's end, or at a date."""

from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.subscriptions.changing import When, finish_change, lock_subscription, moment_of
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import load_timeline


def cancel(session: Session, subscription_id: str, *, at: When, now: datetime) -> Subscription:
    """Set the instant from which the customer is on the plan no more.

    A subscription that is to end may be given another end as long as it has not ended. Raises NotFound,
    Conflict when it has ended, InvalidInput for an instant that is past.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    moment = moment_of(timeline, at, now=now)
    earliest = min(moment, subscription.ends_at or moment)
    subscription.ends_at = moment
    subscription.status = "canceled"
    subscription.canceled_at = now
    return finish_change(session, timeline, moment=earliest)
