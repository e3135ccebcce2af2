"""Derive whose usage each subject's is from the mappings of consumers to customers."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Attribution, ConsumerMapping, Subject
from tollkeeper.storage.changes import note_change
from tollkeeper.storage.ids import new_id

# When several mappings match one subject at one instant, the most particular wins.
PRECEDENCE = ("subject", "id", "custom_id", "username")

Interval = tuple[datetime, datetime | None, str]


def attribute_subjects(session: Session, subjects: Collection[str]) -> None:
    """Derive the attributions of these subjects anew; a repeat changes nothing."""
    changed = [subject for subject in sorted(subjects) if _attribute(session, subject)]
    if changed:
        note_change(session, "attributions")


def mappings_of(session: Session, subject: Subject) -> list[ConsumerMapping]:
    """Return the mappings that match the subject, the most particular kind first."""
    names = {
        "subject": subject.subject,
        "id": subject.consumer_id,
        "custom_id": subject.custom_id,
        "username": subject.username,
    }
    matches = [
        (ConsumerMapping.match == match) & (ConsumerMapping.value == value) for match, value in names.items() if value
    ]
    found = session.scalars(select(ConsumerMapping).where(or_(*matches))).all()
    return sorted(found, key=lambda mapping: (PRECEDENCE.index(mapping.match), mapping.valid_from))


def intervals_of(mappings: Sequence[ConsumerMapping]) -> list[Interval]:
    """Cut mappings, the most particular first, into intervals that do not overlap; join those that touch."""
    edges = sorted({mapping.valid_from for mapping in mappings} | {m.valid_to for m in mappings if m.valid_to})
    intervals: list[Interval] = []
    for start, end in zip(edges, [*edges[1:], None], strict=True):
        winner = next((mapping for mapping in mappings if _holds(mapping, start)), None)
        if winner is None:
            continue
        if intervals and intervals[-1][1] == start and intervals[-1][2] == winner.customer_id:
            intervals[-1] = (intervals[-1][0], end, winner.customer_id)
        else:
            intervals.append((start, end, winner.customer_id))
    return intervals


def _holds(mapping: ConsumerMapping, instant: datetime) -> bool:
    return mapping.valid_from <= instant and (mapping.valid_to is None or instant < mapping.valid_to)


def _attribute(session: Session, subject: str) -> bool:
    row = session.scalars(select(Subject).where(Subject.subject == subject)).one()
    wanted = intervals_of(mappings_of(session, row))
    present = session.scalars(
        select(Attribution).where(Attribution.subject == subject).order_by(Attribution.valid_from)
    ).all()
    if [(one.valid_from, one.valid_to, one.customer_id) for one in present] == wanted:
        return False
    session.execute(delete(Attribution).where(Attribution.subject == subject))
    session.add_all(
        Attribution(id=new_id("att"), subject=subject, customer_id=customer_id, valid_from=start, valid_to=end)
        for start, end, customer_id in wanted
    )
    session.flush()
    return True
