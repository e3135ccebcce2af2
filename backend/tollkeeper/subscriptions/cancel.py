"""End a subscription: now, at the period's end, or at a date; with or without the unused time given back."""

from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.subscriptions.changing import When, finish_change, lock_subscription, moment_of
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import load_timeline


def cancel(
    session: Session, subscription_id: str, *, at: When, now: datetime, is_credited: bool = True
) -> Subscription:
    """Set the instant from which the customer is on the plan no more.

    Fees in advance are given back for the time after the end, unless `is_credited` is False: then they are due
    in full. A subscription that is to end may be given another end as long as it has not ended. Raises
    NotFound, Conflict when it has ended, InvalidInput for an instant that is past.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    moment = moment_of(timeline, at, now=now)
    earliest = min(moment, subscription.ends_at or moment)
    subscription.ends_at = moment
    subscription.is_rest_forfeited = not is_credited
    subscription.status = "canceled"
    subscription.canceled_at = now
    return finish_change(session, timeline, moment=earliest)
