"""Tell nodes what changed since their cursor: the feed of verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.entitlements.feed_state import cursor_of, find_feed, version_of
from tollkeeper.entitlements.tables import EntitlementLimit, LimitedCustomer, SubjectVerdict
from tollkeeper.entitlements.verdict import plain

NO_FEED = "0"


@dataclass(frozen=True, slots=True)
class Feed:
    """What a node is told: everything (`is_full`), or the subjects that changed and those that were removed."""

    cursor: str
    is_full: bool
    subjects: list[dict[str, Any]]
    removed: list[str]

    def as_json(self, *, now: datetime) -> dict[str, Any]:
        """Return the answer of GET /api/v1/gateway/verdicts (tests/contract/verdicts.json)."""
        return {
            "cursor": self.cursor,
            "full": self.is_full,
            "generated_at": millis(now),
            "subjects": self.subjects,
            "removed": self.removed,
        }


def verdict_feed(session: Session, cursor: str | None) -> Feed:
    """Return the delta since the cursor, or everything when the cursor is absent, unknown or too old."""
    # The version is read first: what is published while we read is told again with the next delta, never missed.
    feed = find_feed(session)
    if feed is None:
        return Feed(NO_FEED, is_full=True, subjects=[], removed=[])
    since = version_of(feed, cursor)
    if since is None:
        rows = session.scalars(select(SubjectVerdict).where(SubjectVerdict.removed_at.is_(None))).all()
        return Feed(cursor_of(feed), is_full=True, subjects=describe_subjects(session, rows), removed=[])
    if since == feed.version:
        return Feed(cursor_of(feed), is_full=False, subjects=[], removed=[])
    rows = _changed_since(session, since)
    present = [row for row in rows if row.removed_at is None]
    removed = sorted(row.subject for row in rows if row.removed_at is not None)
    return Feed(cursor_of(feed), is_full=False, subjects=describe_subjects(session, present), removed=removed)


def describe_subjects(session: Session, rows: Sequence[SubjectVerdict]) -> list[dict[str, Any]]:
    """Return subjects with the limits that bind them, as the feed carries them, by subject."""
    limits = _limits_by_customer(session, {row.customer_id for row in rows})
    return [
        {"subject": row.subject, "customer": row.customer_key, "limits": limits.get(row.customer_id, [])}
        for row in sorted(rows, key=lambda row: row.subject)
    ]


def _changed_since(session: Session, version: int) -> Sequence[SubjectVerdict]:
    touched = (
        select(LimitedCustomer.customer_id)
        .join(EntitlementLimit, EntitlementLimit.id == LimitedCustomer.limit_id)
        .where(EntitlementLimit.version > version)
    )
    return session.scalars(
        select(SubjectVerdict).where(or_(SubjectVerdict.version > version, SubjectVerdict.customer_id.in_(touched)))
    ).all()


def _limits_by_customer(session: Session, customer_ids: set[str]) -> Mapping[str, list[dict[str, Any]]]:
    query = (
        select(LimitedCustomer.customer_id, EntitlementLimit)
        .join(EntitlementLimit, EntitlementLimit.id == LimitedCustomer.limit_id)
        .order_by(EntitlementLimit.id)
    )
    if len(customer_ids) <= 1000:
        query = query.where(LimitedCustomer.customer_id.in_(customer_ids))
    described: dict[str, dict[str, Any]] = {}
    found: dict[str, list[dict[str, Any]]] = {}
    for customer_id, limit in session.execute(query):
        if limit.id not in described:
            described[limit.id] = describe_limit(limit)
        found.setdefault(customer_id, []).append(described[limit.id])
    return found


def describe_limit(limit: EntitlementLimit) -> dict[str, Any]:
    """Return a limit as the feed carries it."""
    return {
        "id": limit.id,
        "feature": limit.feature_key,
        "scope": limit.scope,
        "kind": limit.kind,
        "state": limit.state,
        "reason": limit.reason,
        "code": limit.code,
        "limit": plain(limit.quota),
        "used": plain(limit.used),
        "resets_at": None if limit.period_end is None else millis(limit.period_end),
        "hard": limit.is_hard,
        "status": limit.status,
    }


def millis(instant: datetime) -> str:
    """Write an instant as the wire has it: RFC 3339 in UTC with milliseconds."""
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
