"""What every change of a subscription shares: lock it, place the change in time, have it billed anew."""

from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.storage.changes import note_change
from tollkeeper.subscriptions.billing_periods import lay_billing_periods, next_due
from tollkeeper.subscriptions.held_cards import held_at
from tollkeeper.subscriptions.periods import MICROSECOND, mean_seconds, period_at
from tollkeeper.subscriptions.state import SubscriptionState, state_at
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import Timeline, load_timeline

# When a change takes effect: at once, when the current period ends, or at an instant to come.
When = Literal["now", "period_end"] | datetime

TOPIC = "subscriptions"


def get_subscription(session: Session, subscription_id: str) -> Subscription:
    """Return the subscription; raises NotFound."""
    subscription = session.get(Subscription, subscription_id)
    if subscription is None:
        raise NotFound(f"there is no subscription {subscription_id!r}")
    return subscription


def lock_subscription(session: Session, subscription_id: str, *, now: datetime) -> Subscription:
    """Return the subscription, locked for a change; raises NotFound, and Conflict when it has ended."""
    subscription = session.scalar(
        select(Subscription)
        .where(Subscription.id == subscription_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if subscription is None:
        raise NotFound(f"there is no subscription {subscription_id!r}")
    if state_at(subscription, now) is SubscriptionState.ENDED:
        raise Conflict(f"subscription {subscription.id} has ended; make a new one instead", code="subscription_ended")
    return subscription


def moment_of(timeline: Timeline, when: When, *, now: datetime) -> datetime:
    """Return the instant that a change takes effect; one before the start is moved to the start.

    The end of the period is that of the plan's longest cadence at `now`. Raises InvalidInput for an instant
    that is past: a change in the past would rewrite what the customer was told.
    """
    started_at = timeline.subscription.started_at
    if when == "now":
        return max(now, started_at)
    if when == "period_end":
        return _period_end(timeline, max(now, started_at))
    if when < now:
        raise InvalidInput.of("/at", "is in the past; take 'now' or an instant to come")
    return max(when, started_at)


def _period_end(timeline: Timeline, instant: datetime) -> datetime:
    subscription = timeline.subscription
    cadences = {held.card.billing_cadence for held in held_at(timeline, instant) if not held.is_of_add_on}
    if not cadences:
        raise InvalidInput.of("/at", "the plan has no billing period at this time; take 'now' or an instant")
    longest = max(sorted(cadences), key=mean_seconds)
    return period_at(subscription.anchor, longest, subscription.time_zone, instant).end


def finish_change(session: Session, before: Timeline, *, moment: datetime) -> Subscription:
    """Set the billing mark back to where the change cuts charges in advance, and tell those who derive."""
    session.flush()
    subscription = before.subscription
    subscription.billed_until = _rewound(before, moment)
    subscription.next_due_at = next_due(load_timeline(session, subscription), after=subscription.billed_until)
    note_change(session, TOPIC)
    return subscription


def _rewound(before: Timeline, moment: datetime) -> datetime | None:
    billed_until = before.subscription.billed_until
    if billed_until is None:
        return None
    starts = [
        charge.start
        for charge in lay_billing_periods(before, since=moment, until=moment + MICROSECOND)
        if charge.is_in_advance
    ]
    return min([billed_until, moment, *starts]) - MICROSECOND
