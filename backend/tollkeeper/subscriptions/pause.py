"""Pause a subscription and resume it: meanwhile it charges nothing and allows nothing, and its calendar goes on.

Fees in advance are given back for the paused time; from the resumption the rest of the period is due again.
Usage that comes in a pause is not charged (the gateway refuses it), and the tiers of a period do not begin anew
after it. Phases and trials are not prolonged.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.changing import When, finish_change, lock_subscription, moment_of
from tollkeeper.subscriptions.tables import Subscription, SubscriptionPause
from tollkeeper.subscriptions.timeline import load_timeline


def pause(
    session: Session, subscription_id: str, *, at: When, until: datetime | None = None, now: datetime
) -> Subscription:
    """Pause from `at` until an instant, or until it is resumed.

    Raises NotFound, Conflict when the subscription has ended or ends before, or is paused at some of that time
    already, InvalidInput for an instant that is past and for an end that is not after the start.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    moment = moment_of(timeline, at, now=now)
    if until is not None and until <= moment:
        raise InvalidInput.of("/until", "is not after the start of the pause")
    if subscription.ends_at is not None and subscription.ends_at <= moment:
        raise Conflict("the subscription ends before that time", code="subscription_ended")
    other = next((one for one in timeline.pauses if one.overlap(moment, until) is not None), None)
    if other is not None:
        raise Conflict(
            f"the subscription is paused from {other.start.isoformat()}; resume it or undo that pause first",
            code="already_paused",
        )
    session.add(
        SubscriptionPause(
            id=new_id("pause"), subscription_id=subscription.id, starts_at=moment, ends_at=until, created_at=now
        )
    )
    return finish_change(session, timeline, moment=moment)


def resume(session: Session, subscription_id: str, *, at: When = "now", now: datetime) -> Subscription:
    """Let the pause that holds now end at `at`: at once, or at an instant to come.

    A pause that is resumed at its very start never was. Raises NotFound, and Conflict when the subscription is
    not paused.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    row = _pause_at(session, subscription, now)
    if row is None:
        raise Conflict("the subscription is not paused; a pause to come can be undone", code="not_paused")
    moment = moment_of(timeline, at, now=now)
    following = next((one.start for one in timeline.pauses if one.start > row.starts_at), None)
    if following is not None and moment > following:
        raise InvalidInput.of("/at", f"is after the start of the next pause, {following.isoformat()}")
    earliest = min(moment, row.ends_at or moment)
    row.ends_at = moment
    if row.ends_at <= row.starts_at:
        row.removed_at = now
    return finish_change(session, timeline, moment=earliest)


def _pause_at(session: Session, subscription: Subscription, instant: datetime) -> SubscriptionPause | None:
    rows = session.scalars(
        select(SubscriptionPause).where(
            SubscriptionPause.subscription_id == subscription.id,
            SubscriptionPause.removed_at.is_(None),
            SubscriptionPause.starts_at <= instant,
        )
    )
    return next((row for row in rows if row.ends_at is None or row.ends_at > instant), None)
