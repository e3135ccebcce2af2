"""Put pseudonyms for a person's names into the registry of subjects; usage stays whose it was."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from tollkeeper.customers.attribute import attribute_subjects
from tollkeeper.customers.tables import Attribution, ConsumerMapping, Subject
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.locks import wait_for_turn

NAMES = ("consumer_id", "username", "custom_id", "credential")


def forget_names(
    session: Session, names: Mapping[str, str], subjects: Mapping[str, str], *, now: datetime
) -> Collection[int]:
    """Rename subjects and their consumers' names; return the numbers of the subjects that were touched.

    A mapping by one of the names becomes mappings of the pseudonymous subjects, for the same time and customer. The
    person's next request is a new consumer's, and mapped to nobody.
    """
    wait_for_turn(session, "mappings")
    touched = _touched(session, names, subjects)
    before = {row.id: _intervals(session, row.subject) for row in touched}
    session.execute(delete(Attribution).where(Attribution.subject.in_([row.subject for row in touched])))
    words = [*names, *subjects, *(row.subject for row in touched)]
    session.execute(delete(ConsumerMapping).where(ConsumerMapping.value.in_(words)))
    for row in touched:
        row.subject = subjects.get(row.subject, row.subject)
        for name in NAMES:
            value = getattr(row, name)
            setattr(row, name, names.get(value, value))
        session.add_all(
            ConsumerMapping(
                id=new_id("map"),
                customer_id=customer_id,
                match="subject",
                value=row.subject,
                valid_from=start,
                valid_to=end,
                created_at=now,
            )
            for start, end, customer_id in before[row.id]
        )
    session.flush()
    attribute_subjects(session, [row.subject for row in touched])
    return [row.id for row in touched]


def customers_of_subjects(session: Session, subject_ids: Collection[int]) -> set[str]:
    """Return the customers whose usage the subjects' ever was."""
    query = select(Attribution.customer_id).join(Subject, Subject.subject == Attribution.subject)
    return set(session.scalars(query.where(Subject.id.in_(sorted(subject_ids)))))


def numbers_of_subjects(session: Session, names: Mapping[str, str], subjects: Mapping[str, str]) -> set[int]:
    """Return the numbers of the subjects that `forget_names` would touch."""
    return {row.id for row in _touched(session, names, subjects)}


def _touched(session: Session, names: Mapping[str, str], subjects: Mapping[str, str]) -> list[Subject]:
    by_name = [getattr(Subject, name).in_(list(names)) for name in NAMES]
    query = select(Subject).where(or_(Subject.subject.in_(list(subjects)), *by_name))
    return list(session.scalars(query.order_by(Subject.id)))


def _intervals(session: Session, subject: str) -> list[tuple[datetime, datetime | None, str]]:
    query = select(Attribution).where(Attribution.subject == subject).order_by(Attribution.valid_from)
    return [(one.valid_from, one.valid_to, one.customer_id) for one in session.scalars(query)]
