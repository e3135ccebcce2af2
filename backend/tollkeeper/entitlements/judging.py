"""Set a limit's count and verdict, and mark what the feed has said of it."""

from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.entitlements.counting import Count
from tollkeeper.entitlements.notify import notify_progress, quota_of
from tollkeeper.entitlements.tables import EntitlementLimit
from tollkeeper.entitlements.verdict import judge, not_entitled, paused


def apply_count(session: Session, limit: EntitlementLimit, count: Count, *, now: datetime) -> None:
    """Set what is used, judge it, and tell of thresholds that this reaches."""
    earlier = limit.used
    limit.used = count.used
    limit.edges = count.edges
    limit.counted_at = now
    limit.count_again_at = count.again_at
    limit.is_stale = False
    rejudge(limit)
    if limit.used != earlier:
        notify_progress(session, limit, earlier, now=now)


def rejudge(limit: EntitlementLimit) -> None:
    """Set the verdict that the limit's numbers give; one without a subscription, or of a paused one, refuses."""
    if limit.subscription_id is None:
        verdict = not_entitled(limit.feature_key)
    elif limit.is_paused:
        verdict = paused(is_exact=limit.is_hard)
    else:
        verdict = judge(limit.used, quota_of(limit))
    limit.state = verdict.state
    limit.code = verdict.code
    limit.reason = verdict.reason
    limit.is_unpublished = limit.used != limit.published_used or limit.state != limit.published_state


def publish_limit(limit: EntitlementLimit, version: int, *, now: datetime) -> None:
    """Put the limit into the feed's next version."""
    limit.published_used = limit.used
    limit.published_state = limit.state
    limit.published_at = now
    limit.is_unpublished = False
    limit.version = version
