"""The registry of subjects: who was seen, under which of Kong's names, and whose it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tollkeeper.customers.attribute import attribute_subjects
from tollkeeper.customers.tables import Attribution, Customer, Subject
from tollkeeper.storage.upsert import insert_ignoring

CONSUMER_PREFIX = "consumer:"


@dataclass(frozen=True, slots=True)
class SeenSubject:
    """A subject and what its event, or Kong, says about it."""

    subject: str
    consumer_id: str | None = None
    username: str | None = None
    custom_id: str | None = None
    credential: str | None = None


def register_subjects(session: Session, seen: Iterable[SeenSubject], *, now: datetime) -> dict[str, int]:
    """Note subjects and their names, attribute the new and the renamed ones; return {subject: number}.

    A repeat changes nothing. A name that an event leaves out keeps its last value.
    """
    by_subject = {one.subject: one for one in seen}
    known = _known(session, by_subject)
    new = sorted(by_subject.keys() - known.keys())
    insert_ignoring(session, Subject, [_row(by_subject[subject], now) for subject in new])
    renamed = [one.subject for one in by_subject.values() if one.subject in known and _rename(session, known, one)]
    if new:
        known = _known(session, by_subject)
    attribute_subjects(session, new + renamed)
    return {subject: row.id for subject, row in known.items()}


def customer_of_subject(session: Session, subject: str, at: datetime) -> Customer | None:
    """Return whose usage the subject's is at an instant, or None while it is unmapped."""
    return session.scalar(
        select(Customer)
        .join(Attribution, Attribution.customer_id == Customer.id)
        .where(Attribution.subject == subject, Attribution.valid_from <= at)
        .where((Attribution.valid_to > at) | Attribution.valid_to.is_(None))
    )


def subjects_of_customer(session: Session, customer_id: str) -> list[Attribution]:
    """Return every interval of a subject's usage that is this customer's own, by subject and time."""
    return list(
        session.scalars(
            select(Attribution)
            .where(Attribution.customer_id == customer_id)
            .order_by(Attribution.subject, Attribution.valid_from)
        )
    )


def list_subjects(session: Session, subjects: Sequence[str]) -> dict[str, Subject]:
    """Return the registry's rows of the named subjects."""
    return _known(session, subjects)


def _known(session: Session, subjects: Iterable[str]) -> dict[str, Subject]:
    # Chunks stay below SQLite's limit of 32,766 variables.
    wanted = sorted(subjects)
    chunks = (wanted[start : start + 10_000] for start in range(0, len(wanted), 10_000))
    rows = [row for chunk in chunks for row in session.scalars(select(Subject).where(Subject.subject.in_(chunk)))]
    return {row.subject: row for row in rows}


def _row(seen: SeenSubject, now: datetime) -> dict[str, object]:
    return {
        "subject": seen.subject,
        "consumer_id": seen.consumer_id or _consumer_id_of(seen.subject),
        "username": seen.username,
        "custom_id": seen.custom_id,
        "credential": seen.credential,
        "first_seen": now,
    }


def _consumer_id_of(subject: str) -> str | None:
    return subject.removeprefix(CONSUMER_PREFIX) if subject.startswith(CONSUMER_PREFIX) else None


def _rename(session: Session, known: dict[str, Subject], seen: SeenSubject) -> bool:
    row = known[seen.subject]
    changes = {
        field: value
        for field in ("consumer_id", "username", "custom_id", "credential")
        if (value := getattr(seen, field)) is not None and value != getattr(row, field)
    }
    if changes:
        session.execute(update(Subject).where(Subject.id == row.id).values(**changes))
    return bool(changes.keys() - {"credential"})
