"""Make the stored limits, their customers and the feed's subjects what they should be; write only differences."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from tollkeeper.entitlements.desired import Desired, DesiredLimit
from tollkeeper.entitlements.judging import publish_limit, rejudge
from tollkeeper.entitlements.notify import notify_reset
from tollkeeper.entitlements.tables import EntitlementLimit, LimitedCustomer, SubjectVerdict
from tollkeeper.entitlements.verdict import Code

SPENT = (Code.QUOTA_EXHAUSTED, Code.QUOTA_EXCEEDED)
CHUNK = 5000
Pair = tuple[str, str]


def apply_desired(session: Session, desired: Desired, version: int, *, now: datetime) -> int:
    """Return how many limits and subjects the feed's next version tells anew."""
    stored = {limit.id: limit for limit in session.scalars(select(EntitlementLimit))}
    changed = [_apply_limit(session, stored, wanted, version, now=now) for wanted in desired.limits.values()]
    session.flush()
    moved = _apply_customers(session, desired.limits.values())
    gone = sorted(stored.keys() - desired.limits.keys())
    for some in _chunks(gone):
        session.execute(delete(EntitlementLimit).where(EntitlementLimit.id.in_(some)))
    return sum(changed) + _apply_subjects(session, desired.subjects, moved, version, now=now)


def _apply_limit(
    session: Session, stored: dict[str, EntitlementLimit], wanted: DesiredLimit, version: int, *, now: datetime
) -> bool:
    limit = stored.get(wanted.id)
    if limit is None:
        limit = _new_limit(wanted)
        session.add(limit)
    elif all(getattr(limit, name) == value for name, value in wanted.columns.items()):
        return False
    else:
        _change(session, limit, wanted.columns, now=now)
    limit.is_stale = limit.subscription_id is not None
    limit.count_again_at = None
    rejudge(limit)
    publish_limit(limit, version, now=now)
    return True


def _new_limit(wanted: DesiredLimit) -> EntitlementLimit:
    return EntitlementLimit(
        id=wanted.id,
        used=Decimal(0),
        edges={},
        published_used=Decimal(0),
        published_state="",
        version=0,
        **wanted.columns,
    )


def _change(session: Session, limit: EntitlementLimit, columns: Mapping[str, object], *, now: datetime) -> None:
    """Set the columns; a new period begins at zero, and opens what was spent at once, before anything is counted."""
    is_reset = limit.period_start is not None and limit.period_start != columns["period_start"]
    was_spent = limit.code in SPENT
    for name, value in columns.items():
        setattr(limit, name, value)
    if is_reset:
        limit.used = Decimal(0)
        if was_spent:
            notify_reset(session, limit, now=now)


def _apply_customers(session: Session, limits: Iterable[DesiredLimit]) -> set[str]:
    """Write who is bound by which limit; return the customers for whom that changed."""
    wanted: set[Pair] = {(customer_id, limit.id) for limit in limits for customer_id in limit.customer_ids}
    pairs = session.execute(select(LimitedCustomer.customer_id, LimitedCustomer.limit_id))
    stored: set[Pair] = {(row.customer_id, row.limit_id) for row in pairs}
    new, gone = sorted(wanted - stored), sorted(stored - wanted)
    if new:
        session.execute(insert(LimitedCustomer), [{"customer_id": one, "limit_id": other} for one, other in new])
    for customer_id, limit_id in gone:
        session.execute(
            delete(LimitedCustomer).where(
                LimitedCustomer.customer_id == customer_id, LimitedCustomer.limit_id == limit_id
            )
        )
    return {customer_id for customer_id, _ in [*new, *gone]}


def _apply_subjects(
    session: Session, wanted: Mapping[str, Pair], moved: set[str], version: int, *, now: datetime
) -> int:
    """Write whose subjects are; a removed one is kept for a while, so that nodes hear of it."""
    stored = {row.subject: row for row in session.scalars(select(SubjectVerdict))}
    count = 0
    for subject, (customer_id, customer_key) in wanted.items():
        row = stored.get(subject)
        if row is None:
            row = SubjectVerdict(subject=subject)
            session.add(row)
        elif (row.customer_id, row.customer_key, row.removed_at) == (customer_id, customer_key, None):
            continue
        row.customer_id, row.customer_key, row.removed_at, row.version = customer_id, customer_key, None, version
        count += 1
    for subject in stored.keys() - wanted.keys():
        if stored[subject].removed_at is None:
            stored[subject].removed_at, stored[subject].version = now, version
            count += 1
    session.flush()
    for some in _chunks(sorted(moved)):
        bound = update(SubjectVerdict).where(SubjectVerdict.customer_id.in_(some), SubjectVerdict.removed_at.is_(None))
        count += session.execute(bound.values(version=version)).rowcount  # type: ignore[attr-defined]  # an UPDATE's is a cursor's
    return count


def _chunks(ids: list[str]) -> Iterable[list[str]]:
    return (ids[first : first + CHUNK] for first in range(0, len(ids), CHUNK))
