"""Explain one subject's verdict: whose it is, the limits in the feed, and the usage that they come from."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.tables import Customer
from tollkeeper.entitlements.balances import Balance, entitlement_balances
from tollkeeper.entitlements.feed import describe_subjects, millis
from tollkeeper.entitlements.tables import EntitlementLimit, SubjectVerdict
from tollkeeper.entitlements.verdict import plain
from tollkeeper.errors import NotFound


def explain_verdict(session: Session, subject: str, *, now: datetime) -> dict[str, Any]:
    """Return the subject as the feed tells it, with the balances counted anew; raises NotFound if it is unmapped."""
    row = session.scalar(
        select(SubjectVerdict).where(SubjectVerdict.subject == subject, SubjectVerdict.removed_at.is_(None))
    )
    if row is None:
        raise NotFound(f"{subject!r} belongs to no customer; map it, or wait a second if you just did")
    (described,) = describe_subjects(session, [row])
    customer = get_customer(session, row.customer_id)
    balances = entitlement_balances(session, customer.id, now=now)
    return {
        **described,
        "customer_id": customer.id,
        "pays": None if customer.parent_id is None else _key_of(session, customer.parent_id),
        "as_of": millis(now),
        "entitlements": [describe_balance(session, balance) for balance in balances],
    }


def describe_balance(session: Session, balance: Balance) -> dict[str, Any]:
    """Return a balance as the API carries it: what is allowed, what was used by whom, and the verdict on it."""
    allotment, quota, period = balance.allotment, balance.allotment.quota, balance.allotment.period
    stored = session.get(EntitlementLimit, allotment.limit_id)
    return {
        "limit_id": allotment.limit_id,
        "subscription_id": allotment.subscription_id,
        "plan_version_id": allotment.plan_version_id,
        "rate_card": allotment.rate_card_key,
        "feature": allotment.feature_key,
        "type": allotment.kind,
        "config": None if allotment.config is None else dict(allotment.config),
        "limit": None if quota is None else plain(quota.limit),
        "hard": None if quota is None else quota.is_hard,
        "used": None if quota is None else plain(balance.used),
        "remaining": None if balance.remaining is None else plain(balance.remaining),
        "period_start": None if period is None else millis(period.start),
        "period_end": None if period is None else millis(period.end),
        "used_by": [
            {"customer": _key_of(session, one.customer_id), "used": plain(one.used), "events": one.event_count}
            for one in balance.used_by
        ],
        "state": None if balance.verdict is None else balance.verdict.state,
        "code": None if balance.verdict is None else balance.verdict.code,
        "reason": None if balance.verdict is None else balance.verdict.reason,
        "counted_at": None if stored is None or stored.counted_at is None else millis(stored.counted_at),
    }


def _key_of(session: Session, customer_id: str) -> str:
    return session.get_one(Customer, customer_id).key
