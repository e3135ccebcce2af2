"""Count the usage that new events may have changed, before the feed is locked: reading only.

On SQLite a writer holds up every other writer, the ingest among them, so the counting must not be inside the
write. What is counted here is applied by refresh.py if the feed has not moved in between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Attribution
from tollkeeper.entitlements.feed_state import find_feed
from tollkeeper.entitlements.tables import EntitlementLimit, LimitedCustomer
from tollkeeper.metering.touched import touched_subjects
from tollkeeper.usage.usage_of import usage_of

MOST_COUNTED = 500
CHUNK = 5000


@dataclass(frozen=True, slots=True)
class Count:
    """What was used of a limit in these stretches of time; a limit that has others by now needs another count."""

    stretches: list[list[str]]
    used: Decimal


@dataclass(frozen=True, slots=True)
class Survey:
    """Counts as of `read_sequence`, starting from `from_sequence`; `left` were touched, too, but not counted."""

    from_sequence: int
    read_sequence: int
    counts: dict[str, Count] = field(default_factory=dict)
    left: frozenset[str] = frozenset()


def survey_usage(session: Session) -> Survey:
    """Return the counts of limits that new events touched and of those marked stale, at most MOST_COUNTED."""
    feed = find_feed(session)
    from_sequence = 0 if feed is None else feed.read_sequence
    # The sequence is read first: what is stored while we count is touched again next time.
    read_sequence, subjects = touched_subjects(session, from_sequence)
    limits = _limits_to_count(session, sorted(subjects))
    counts = count_limits(session, limits[:MOST_COUNTED])
    return Survey(from_sequence, read_sequence, counts, frozenset(limit.id for limit in limits[MOST_COUNTED:]))


def count_limits(session: Session, limits: Iterable[EntitlementLimit]) -> dict[str, Count]:
    """Count the usage of limits in their periods."""
    return {limit.id: Count(limit.stretches, used_of(session, limit)) for limit in limits}


def used_of(session: Session, limit: EntitlementLimit) -> Decimal:
    """Return what all customers whom the limit's subscription covers used, each for as long as it is covered."""
    return sum(
        (
            usage_of(
                session, customer_id, limit.feature_key, datetime.fromisoformat(start), datetime.fromisoformat(end)
            ).quantity
            for customer_id, start, end in limit.stretches
        ),
        Decimal(0),
    )


def _limits_to_count(session: Session, subjects: Sequence[str]) -> list[EntitlementLimit]:
    """Return stale limits first, then those of all customers that the subjects ever belonged to."""
    found = {limit.id: limit for limit in session.scalars(select(EntitlementLimit).where(EntitlementLimit.is_stale))}
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
