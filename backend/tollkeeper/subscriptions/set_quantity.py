"""Change how many of a flat rate card (seats) a subscription has."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import delete
from sqlalchemy.orm import Session

from tollkeeper.errors import InvalidInput
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.changing import When, finish_change, lock_subscription, moment_of
from tollkeeper.subscriptions.held_cards import held_at
from tollkeeper.subscriptions.tables import Subscription, SubscriptionQuantity
from tollkeeper.subscriptions.timeline import load_timeline


def set_quantity(
    session: Session, subscription_id: str, rate_card_key: str, quantity: Decimal, *, at: When, now: datetime
) -> Subscription:
    """Let the quantity hold from `at` on; one that was scheduled for the same time or later is replaced.

    Raises NotFound, Conflict when the subscription has ended, InvalidInput for a negative quantity and for a
    rate card that has no flat price.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    moment = moment_of(timeline, at, now=now)
    cards = [held.card for held in held_at(timeline, moment) if not held.is_of_add_on]
    if not any(card.key == rate_card_key and card.price and card.price.type == "flat" for card in cards):
        raise InvalidInput.of("/rate_card", f"{rate_card_key!r} is no rate card with a flat price at that time")
    if quantity < 0:
        raise InvalidInput.of("/quantity", "is negative")
    session.execute(
        delete(SubscriptionQuantity).where(
            SubscriptionQuantity.subscription_id == subscription.id,
            SubscriptionQuantity.rate_card_key == rate_card_key,
            SubscriptionQuantity.starts_at >= moment,
        )
    )
    session.add(
        SubscriptionQuantity(
            id=new_id("qty"),
            subscription_id=subscription.id,
            rate_card_key=rate_card_key,
            quantity=quantity,
            starts_at=moment,
        )
    )
    return finish_change(session, timeline, moment=moment)
