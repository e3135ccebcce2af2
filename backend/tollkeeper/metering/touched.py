"""Which subjects had events stored since a point of the batches: so that only their balances are derived again."""

from datetime import datetime, timedelta

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Text, any_, cast, delete, func, literal, select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Subject
from tollkeeper.metering.tables import EventBatch
from tollkeeper.storage.upsert import is_postgresql

KEPT = timedelta(days=1)
CHUNK = 10_000


def touched_subjects(session: Session, after_sequence: int) -> tuple[int, set[str]]:
    """Return the present sequence, to be given next time, and the subjects with events stored since the last.

    0, or a sequence that is older than the kept batches, gives all subjects. No subject is ever missed; on
    PostgreSQL, where a batch may commit after one that began later, some may be named twice.
    """
    sequence = _present_sequence(session)
    oldest = session.scalar(select(func.min(EventBatch.transaction_id)))
    if after_sequence <= 0 or oldest is None or oldest > after_sequence:
        is_known_empty = after_sequence > 0 and oldest is None
        return sequence, set() if is_known_empty else set(session.scalars(select(Subject.subject)))
    batches = session.scalars(select(EventBatch.subject_ids).where(EventBatch.transaction_id >= after_sequence))
    touched = sorted({subject_id for batch in batches for subject_id in batch})
    subjects: set[str] = set()
    for start in range(0, len(touched), CHUNK):
        chunk = touched[start : start + CHUNK]
        subjects.update(session.scalars(select(Subject.subject).where(_is_one_of(session, chunk))))
    return sequence, subjects


def prune_batches(session: Session, *, now: datetime) -> int:
    """Forget which subjects old batches touched; return how many batches that was. Events stay."""
    newest = select(func.max(EventBatch.id)).scalar_subquery()
    result = session.execute(delete(EventBatch).where(EventBatch.received_at < now - KEPT, EventBatch.id < newest))
    return result.rowcount  # type: ignore[attr-defined, no-any-return]  # a DELETE's result is a cursor's


def _is_one_of(session: Session, subject_ids: list[int]) -> ColumnElement[bool]:
    """One parameter on PostgreSQL: this runs twice a second, and thousands cost a tenth of a processor."""
    if is_postgresql(session):
        return Subject.id == any_(literal(subject_ids, ARRAY(BigInteger)))
    return Subject.id.in_(subject_ids)


def _present_sequence(session: Session) -> int:
    """Return the first sequence whose batches a later look may see anew.

    SQLite has one writer, so batches are seen in order. On PostgreSQL all transactions below the snapshot's
    xmin have ended: what they stored is visible now, and what this look cannot see has a higher number.
    """
    if is_postgresql(session):
        xmin = func.pg_snapshot_xmin(func.pg_current_snapshot())
        return session.execute(select(cast(cast(xmin, Text), BigInteger))).scalar_one()
    newest = session.scalar(select(func.max(EventBatch.transaction_id)))
    return (newest or 0) + 1
