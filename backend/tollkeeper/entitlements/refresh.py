"""Bring limits, verdicts and the feed up to date: the job that runs twice a second.

It does work for what changed only: events since the last read, and, when a plan, a mapping, a customer or the
calendar changed something, the difference between what is derived now and what was. It may be killed anywhere:
everything it read up to is stored with what it made of it.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.entitlements.apply_desired import apply_desired
from tollkeeper.entitlements.counting import Counter
from tollkeeper.entitlements.feed_state import find_feed, lock_feed
from tollkeeper.entitlements.judging import apply_count, publish_limit
from tollkeeper.entitlements.publish import is_due
from tollkeeper.entitlements.survey import Derived, Survey, derive_now, must_derive, survey_usage
from tollkeeper.entitlements.tables import EntitlementLimit, VerdictFeed

# Counting under the feed's lock holds up SQLite's other writers; the rest waits for the next survey.
MOST_COUNTED_LOCKED = 50


@dataclass(frozen=True, slots=True)
class Refreshed:
    """How many limits and subjects the feed tells anew; `is_complete` is False while limits are still to count."""

    published: int
    is_complete: bool


def has_work(session: Session, survey: Survey, *, now: datetime) -> bool:
    """Tell, reading only, whether a refresh would change anything: most of the time it would not."""
    feed = find_feed(session)
    if feed is None or survey.counts or survey.left or survey.derived:
        return True
    waiting = session.scalars(select(EntitlementLimit).where(EntitlementLimit.is_unpublished))
    return any(is_due(limit, now=now) for limit in waiting)


def refresh_verdicts(session: Session, *, now: datetime, survey: Survey | None = None) -> Refreshed:
    """Apply counts, derive anew if something changed, and publish what the nodes must know.

    `survey` was made in an earlier, reading transaction; one that another refresh has overtaken is thrown away,
    and so is its `now`: an older derivation must not undo a newer one. Many limits are counted in several
    calls: call again while the answer is not complete.
    """
    feed = lock_feed(session)
    if survey is not None and not survey.is_of(feed):
        return Refreshed(0, is_complete=False)
    survey = survey or survey_usage(session, now=now)
    version = feed.version + 1
    published = 0
    derived = survey.derived
    if derived is None and must_derive(session, feed, now=now):
        derived = derive_now(session, now=now)
    if derived is not None:
        published += _derive(session, feed, derived, version, now=now)
    published += _apply(session, survey, version, now=now)
    feed.read_sequence = survey.read_sequence
    if published:
        feed.version = version
    session.flush()
    return Refreshed(published, is_complete=_find_countable(session, now=now) is None)


def _find_countable(session: Session, *, now: datetime) -> str | None:
    is_awake = or_(EntitlementLimit.count_again_at.is_(None), EntitlementLimit.count_again_at <= now)
    return session.scalar(select(EntitlementLimit.id).where(EntitlementLimit.is_stale, is_awake).limit(1))


def _derive(session: Session, feed: VerdictFeed, derived: Derived, version: int, *, now: datetime) -> int:
    """Apply what was derived; most of the time it is what is stored already."""
    feed.change_count = derived.change_count
    feed.derived_at = now
    feed.derive_again_at = derived.desired.next_change_at
    if derived.digest == feed.desired_digest:
        return 0
    feed.desired_digest = derived.digest
    published = apply_desired(session, derived.desired, version, now=now)
    _count_some(session, now=now)
    return published


def _apply(session: Session, survey: Survey, version: int, *, now: datetime) -> int:
    """Apply the survey's counts; return how many limits are published."""
    touched = [*survey.counts, *survey.left]
    for limit in session.scalars(select(EntitlementLimit).where(EntitlementLimit.id.in_(touched))):
        count = survey.counts.get(limit.id)
        if count is not None and count.stretches == limit.stretches:
            apply_count(session, limit, count, now=now)
        else:
            limit.is_stale = limit.subscription_id is not None
    session.flush()
    return _publish_waiting(session, version, now=now)


def _count_some(session: Session, *, now: datetime) -> None:
    """Count some of what was derived just now, so that a small installation is up to date at once."""
    stale = select(EntitlementLimit).where(EntitlementLimit.is_stale, EntitlementLimit.count_again_at.is_(None))
    limits = session.scalars(stale.order_by(EntitlementLimit.id).limit(MOST_COUNTED_LOCKED)).all()
    counts = Counter(session, now).count(limits)
    for limit in limits:
        apply_count(session, limit, counts[limit.id], now=now)
    session.flush()


def _publish_waiting(session: Session, version: int, *, now: datetime) -> int:
    waiting = session.scalars(select(EntitlementLimit).where(EntitlementLimit.is_unpublished)).all()
    due = [limit for limit in waiting if is_due(limit, now=now)]
    for limit in due:
        publish_limit(limit, version, now=now)
    return len(due)
