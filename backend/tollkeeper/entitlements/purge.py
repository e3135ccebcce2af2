"""Forget subjects that were removed from the feed long ago; nodes that were away longer get everything anew."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from tollkeeper.entitlements.feed_state import lock_feed
from tollkeeper.entitlements.tables import SubjectVerdict

REMEMBERED = timedelta(days=1)


def purge_removed(session: Session, *, now: datetime) -> int:
    """Delete removals older than REMEMBERED and raise the oldest version that a delta can start from."""
    old = SubjectVerdict.removed_at < now - REMEMBERED
    newest = session.scalar(select(func.max(SubjectVerdict.version)).where(old))
    if newest is None:
        return 0
    feed = lock_feed(session)
    feed.oldest_version = max(feed.oldest_version, newest)
    result = session.execute(delete(SubjectVerdict).where(old, SubjectVerdict.version <= newest))
    return result.rowcount  # type: ignore[attr-defined, no-any-return]  # a DELETE's result is a cursor's
