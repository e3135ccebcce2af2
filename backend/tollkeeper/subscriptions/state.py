"""What a subscription is at an instant, which is not stored since it changes without anybody doing anything."""

from datetime import datetime
from enum import StrEnum

from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import Timeline


class SubscriptionState(StrEnum):
    """Scheduled before its start, active or paused, ended from its end on."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


def state_at(subscription: Subscription, instant: datetime) -> SubscriptionState:
    """Return the state at the instant, a paused one as active.

    An end that is not after the start means that it never was active.
    """
    if subscription.ends_at is not None and subscription.ends_at <= max(instant, subscription.started_at):
        return SubscriptionState.ENDED
    return SubscriptionState.SCHEDULED if instant < subscription.started_at else SubscriptionState.ACTIVE


def state_of(timeline: Timeline, instant: datetime) -> SubscriptionState:
    """Return the state at the instant, pauses told apart."""
    state = state_at(timeline.subscription, instant)
    is_paused = state is SubscriptionState.ACTIVE and timeline.pause_at(instant) is not None
    return SubscriptionState.PAUSED if is_paused else state
