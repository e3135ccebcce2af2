"""Count usage that new events may have changed, and derive limits, before the feed is locked: reading only.

On SQLite a writer holds up every other writer, the ingest among them, so the counting must not be inside the
write. What is counted here is applied by refresh.py if the feed has not moved in between.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Attribution
from tollkeeper.entitlements.counting import Count, Counter
from tollkeeper.entitlements.desired import Desired, derive
from tollkeeper.entitlements.feed_state import find_feed
from tollkeeper.entitlements.tables import EntitlementLimit, LimitedCustomer, VerdictFeed
from tollkeeper.metering.touched import touched_subjects
from tollkeeper.storage.changes import count_changes

# So long may a survey take before what it has is applied, so that a few slow counts do not hold up the others.
LONGEST_SECONDS = 0.5
CHUNK = 5000
MOST_AT_ONCE = 100
# A change that nobody noted (storage/changes.py) is found after so long.
DERIVE_AT_LEAST_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Derived:
    """The limits that there should be, as of so many noted changes."""

    desired: Desired
    digest: str
    change_count: int


@dataclass(frozen=True, slots=True)
class Survey:
    """Counts as of `read_sequence`, starting from `from_sequence`; `left` were touched, too, but not counted."""

    from_sequence: int
    read_sequence: int
    counts: dict[str, Count] = field(default_factory=dict)
    left: frozenset[str] = frozenset()
    derived: Derived | None = None
    feed_derived_at: datetime | None = None

    def is_of(self, feed: VerdictFeed) -> bool:
        """Tell whether no other refresh came between this survey and the feed as it is now."""
        return (self.from_sequence, self.feed_derived_at) == (feed.read_sequence, feed.derived_at)


def survey_usage(session: Session, *, now: datetime) -> Survey:
    """Return the counts of limits that new events touched and of those marked stale, as many as time allows."""
    feed = find_feed(session)
    from_sequence = 0 if feed is None else feed.read_sequence
    # The sequence is read first: what is stored while we count is touched again next time.
    read_sequence, subjects = touched_subjects(session, from_sequence)
    limits = _limits_to_count(session, sorted(subjects), now=now)
    awake = [limit for limit in limits if not _rests(limit, now=now)]
    counter = Counter(session, now)
    end = time.monotonic() + LONGEST_SECONDS
    counts: dict[str, Count] = {}
    for first in range(0, len(awake), MOST_AT_ONCE):
        if time.monotonic() < end:
            counts.update(counter.count(awake[first : first + MOST_AT_ONCE]))
    left = frozenset(limit.id for limit in limits if limit.id not in counts and not limit.is_stale)
    derived = derive_now(session, now=now) if feed is None or must_derive(session, feed, now=now) else None
    return Survey(from_sequence, read_sequence, counts, left, derived, None if feed is None else feed.derived_at)


def must_derive(session: Session, feed: VerdictFeed, *, now: datetime) -> bool:
    """Tell whether plans, mappings, customers or the calendar may have changed the limits themselves."""
    if feed.derived_at is None or not feed.derived_at <= now < feed.derived_at + DERIVE_AT_LEAST_EVERY:
        return True
    if feed.derive_again_at is not None and feed.derive_again_at <= now:
        return True
    return feed.change_count != count_changes(session)


def derive_now(session: Session, *, now: datetime) -> Derived:
    """Derive the limits; the changes are counted first, so one that comes meanwhile is derived again."""
    change_count = count_changes(session)
    desired = derive(session, now=now)
    return Derived(desired, desired.digest(), change_count)


def _rests(limit: EntitlementLimit, *, now: datetime) -> bool:
    return limit.count_again_at is not None and limit.count_again_at > now


def _limits_to_count(session: Session, subjects: Sequence[str], *, now: datetime) -> list[EntitlementLimit]:
    """Return stale limits first, then those of all customers that the subjects ever belonged to."""
    is_awake = or_(EntitlementLimit.count_again_at.is_(None), EntitlementLimit.count_again_at <= now)
    stale = session.scalars(select(EntitlementLimit).where(EntitlementLimit.is_stale, is_awake))
    found = {limit.id: limit for limit in stale}
    for first in range(0, len(subjects), CHUNK):
        some = subjects[first : first + CHUNK]
        touched = (
            select(LimitedCustomer.limit_id)
            .join(Attribution, Attribution.customer_id == LimitedCustomer.customer_id)
            .where(Attribution.subject.in_(some))
        )
        rows = session.scalars(
            select(EntitlementLimit).where(
                EntitlementLimit.id.in_(touched), EntitlementLimit.subscription_id.is_not(None)
            )
        )
        found.update((limit.id, limit) for limit in rows)
    return list(found.values())
