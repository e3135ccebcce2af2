"""What a subscription is at an instant, which is not stored since it changes without anybody doing anything."""

from datetime import datetime
from enum import StrEnum

from tollkeeper.subscriptions.tables import Subscription


class SubscriptionState(StrEnum):
    """Scheduled before its start, active, ended from its end on."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    ENDED = "ended"


def state_at(subscription: Subscription, instant: datetime) -> SubscriptionState:
    """Return the state at the instant; an end that is not after the start means that it never was active."""
    if subscription.ends_at is not None and subscription.ends_at <= max(instant, subscription.started_at):
        return SubscriptionState.ENDED
    return SubscriptionState.SCHEDULED if instant < subscription.started_at else SubscriptionState.ACTIVE
