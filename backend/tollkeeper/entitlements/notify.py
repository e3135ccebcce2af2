"""Tell of thresholds that were reached, quotas that are spent, and quotas that are open again: once per period."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from tollkeeper.entitlements.tables import EntitlementLimit
from tollkeeper.entitlements.verdict import Quota, plain, reached_thresholds
from tollkeeper.notifications.enqueue import enqueue

THRESHOLD_REACHED = "entitlement.threshold_reached"
EXHAUSTED = "entitlement.exhausted"
RESET = "entitlement.reset"


def quota_of(limit: EntitlementLimit) -> Quota:
    """Return the limit's quota as the pure functions take it."""
    return Quota(limit.quota, limit.is_hard, tuple(Decimal(text) for text in limit.thresholds))


def notify_progress(session: Session, limit: EntitlementLimit, earlier: Decimal, *, now: datetime) -> None:
    """Enqueue what the step from `earlier` to the limit's `used` reached.

    The keys name the period, so a count that goes down and up again tells nothing twice. A pause spends no quota.
    """
    if limit.is_paused:
        return
    quota = quota_of(limit)
    before = set(reached_thresholds(earlier, quota))
    for threshold in reached_thresholds(limit.used, quota):
        if threshold not in before:
            text = plain(threshold)
            _tell(session, limit, THRESHOLD_REACHED, f"/{text}", {"threshold_per_cent": text}, now=now)
    if limit.used >= limit.quota > earlier:
        _tell(session, limit, EXHAUSTED, "", {}, now=now)


def notify_reset(session: Session, limit: EntitlementLimit, *, now: datetime) -> None:
    """Enqueue that a quota that was spent is open again in its new period."""
    _tell(session, limit, RESET, "", {}, now=now)


def _tell(
    session: Session, limit: EntitlementLimit, kind: str, suffix: str, more: dict[str, str], *, now: datetime
) -> None:
    assert limit.period_start is not None
    assert limit.period_end is not None
    payload = {
        "limit_id": limit.id,
        "subscription_id": limit.subscription_id,
        "customer_id": limit.customer_id,
        "feature": limit.feature_key,
        "limit": plain(limit.quota),
        "used": plain(limit.used),
        "hard": limit.is_hard,
        "period_start": limit.period_start.isoformat(),
        "period_end": limit.period_end.isoformat(),
        **more,
    }
    key = f"{kind}/{limit.id}/{limit.period_start.isoformat()}{suffix}"
    enqueue(session, kind, payload, key=key, now=now)
