"""Find subscriptions: all, or a customer's, by age."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.subscriptions.tables import Subscription


def list_subscriptions(
    session: Session, *, customer_id: str | None = None, after: str | None = None, limit: int = 100
) -> Sequence[Subscription]:
    """Return subscriptions by age, after the id of the last one seen; of one customer, or of all."""
    query = select(Subscription).order_by(Subscription.id).limit(limit)
    if customer_id is not None:
        query = query.where(Subscription.customer_id == customer_id)
    return session.scalars(query if after is None else query.where(Subscription.id > after)).all()
