"""Derive whose usage each subject's is from the mappings of consumers to customers."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Attribution, ConsumerMapping, Subject
from tollkeeper.storage.changes import note_change
from tollkeeper.storage.ids import new_id

# When several mappings match one subject at one instant, the most particular wins.
PRECEDENCE = ("subject", "id", "custom_id", "username")

CHUNK = 5_000

Interval = tuple[datetime, datetime | None, str]


def attribute_subjects(session: Session, subjects: Collection[str]) -> None:
    """Derive the attributions of these subjects anew; a repeat changes nothing."""
    wanted = sorted(subjects)
    changed = False
    for start in range(0, len(wanted), CHUNK):
        changed |= _attribute(session, wanted[start : start + CHUNK])
    if changed:
        note_change(session, "attributions")


def mappings_of(session: Session, subjects: Sequence[Subject]) -> dict[str, list[ConsumerMapping]]:
    """Return the mappings that match each subject, the most particular kind first."""
    names = {(match, value) for subject in subjects for match, value in _names(subject)}
    query = select(ConsumerMapping).where(ConsumerMapping.value.in_({value for _, value in names}))
    found: dict[tuple[str, str], list[ConsumerMapping]] = defaultdict(list)
    for mapping in session.scalars(query.order_by(ConsumerMapping.valid_from)):
        found[mapping.match, mapping.value].append(mapping)
    return {subject.subject: [one for name in _names(subject) for one in found[name]] for subject in subjects}


def _names(subject: Subject) -> list[tuple[str, str]]:
    values = {
        "subject": subject.subject,
        "id": subject.consumer_id,
        "custom_id": subject.custom_id,
        "username": subject.username,
    }
    return [(match, value) for match in PRECEDENCE if (value := values[match]) is not None]


def intervals_of(mappings: Sequence[ConsumerMapping]) -> list[Interval]:
    """Cut mappings, the most particular first, into intervals that do not overlap; join those that touch."""
    edges = sorted({mapping.valid_from for mapping in mappings} | {m.valid_to for m in mappings if m.valid_to})
    intervals: list[Interval] = []
    ends: list[datetime | None] = [*edges[1:], None]
    for start, end in zip(edges, ends, strict=False):
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


def attributions_are_derived(session: Session) -> Iterator[str]:
    """Yield each subject whose usage is not the customer's that the mappings name."""
    known = sorted({*session.scalars(select(Subject.subject)), *session.scalars(select(Attribution.subject))})
    for start in range(0, len(known), CHUNK):
        for subject in _stale(session, known[start : start + CHUNK])[0]:
            yield f"subject {subject}: its usage is not counted for the customers that the mappings name"


def _stale(session: Session, subjects: Sequence[str]) -> tuple[list[str], dict[str, list[Interval]]]:
    """Return the subjects whose attributions are not those that follow from the mappings, and what follows."""
    rows = session.scalars(select(Subject).where(Subject.subject.in_(subjects))).all()
    mappings = mappings_of(session, rows)
    present: dict[str, list[Interval]] = defaultdict(list)
    for one in session.scalars(
        select(Attribution).where(Attribution.subject.in_(subjects)).order_by(Attribution.valid_from)
    ):
        present[one.subject].append((one.valid_from, one.valid_to, one.customer_id))
    wanted = {subject: intervals_of(mappings.get(subject, [])) for subject in subjects}
    return [subject for subject in subjects if present[subject] != wanted[subject]], wanted


def _attribute(session: Session, subjects: Sequence[str]) -> bool:
    stale, wanted = _stale(session, subjects)
    session.execute(delete(Attribution).where(Attribution.subject.in_(stale)))
    session.add_all(
        Attribution(id=new_id("att"), subject=subject, customer_id=customer_id, valid_from=start, valid_to=end)
        for subject in stale
        for start, end, customer_id in wanted[subject]
    )
    session.flush()
    return bool(stale)
