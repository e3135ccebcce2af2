"""Find subscriptions: all, a customer's, or a plan's, by age."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import get_plan
from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.catalog.versions import get_version
from tollkeeper.subscriptions.tables import Subscription, SubscriptionTerm


def list_subscriptions(
    session: Session, *, customer_id: str | None = None, after: str | None = None, limit: int = 100
) -> Sequence[Subscription]:
    """Return subscriptions by age, after the id of the last one seen; of one customer, or of all."""
    query = select(Subscription).order_by(Subscription.id).limit(limit)
    if customer_id is not None:
        query = query.where(Subscription.customer_id == customer_id)
    return session.scalars(query if after is None else query.where(Subscription.id > after)).all()


def list_subscriptions_of_plan(
    session: Session,
    plan_key: str,
    *,
    now: datetime,
    version: int | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Sequence[Subscription]:
    """Return those that have not ended and held, hold or will hold the plan, or a version of it.

    Raises NotFound for an unknown plan or version.
    """
    held = (
        select(SubscriptionTerm.id)
        .join(PlanVersion, PlanVersion.id == SubscriptionTerm.plan_version_id)
        .where(SubscriptionTerm.subscription_id == Subscription.id, SubscriptionTerm.removed_at.is_(None))
    )
    if version is None:
        held = held.where(PlanVersion.plan_id == get_plan(session, plan_key).id)
    else:
        held = held.where(PlanVersion.id == get_version(session, plan_key, version).id)
    query = select(Subscription).where(held.exists(), _is_not_over(now)).order_by(Subscription.id).limit(limit)
    return session.scalars(query if after is None else query.where(Subscription.id > after)).all()


def count_by_version(session: Session, plan_key: str, *, now: datetime) -> dict[int, int]:
    """Return how many subscriptions that have not ended are, at last, on each version of a plan."""
    rows = session.execute(
        select(PlanVersion.version, func.count())
        .join(Subscription, Subscription.plan_version_id == PlanVersion.id)
        .where(PlanVersion.plan_id == get_plan(session, plan_key).id, _is_not_over(now))
        .group_by(PlanVersion.version)
    )
    return {row.version: row[1] for row in rows}


def _is_not_over(now: datetime) -> ColumnElement[bool]:
    return or_(Subscription.ends_at.is_(None), Subscription.ends_at > now)
