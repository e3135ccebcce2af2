"""Say whose a consumer is: map it, end a mapping, map it anew from a date on."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.attribute import attribute_subjects, mappings_of
from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.tables import ConsumerMapping, Subject
from tollkeeper.customers.words import LONGEST_VALUE
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.storage.changes import note_change
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.locks import wait_for_turn

MATCHES = ("subject", "id", "username", "custom_id")
COLUMN_OF = {
    "subject": Subject.subject,
    "id": Subject.consumer_id,
    "username": Subject.username,
    "custom_id": Subject.custom_id,
}


def map_consumer(
    session: Session, customer: str, match: str, value: str, *, since: datetime | None = None, now: datetime
) -> ConsumerMapping:
    """Attribute a consumer's usage to a customer from `since` (by default from now) on.

    `match` says what `value` is: Kong's id, username or custom_id of the consumer, or the raw subject.
    Raises Conflict when the consumer is mapped at that time already; to move it, use `remap_consumer`.
    """
    wait_for_turn(session, "mappings")
    mapping = ConsumerMapping(
        id=new_id("map"),
        customer_id=get_customer(session, customer).id,
        match=match,
        value=value,
        valid_from=since or now,
        valid_to=None,
        created_at=now,
    )
    _check(mapping)
    _refuse_overlap(session, mapping)
    session.add(mapping)
    session.flush()
    _attribute(session, mapping)
    return mapping


def remap_consumer(
    session: Session, customer: str, match: str, value: str, *, since: datetime, now: datetime
) -> ConsumerMapping:
    """Move a consumer to another customer from `since` on; what it used before stays where it is."""
    wait_for_turn(session, "mappings")
    for mapping in mappings_by(session, match, value):
        if mapping.valid_to is None or mapping.valid_to > since:
            if mapping.valid_from >= since:
                session.delete(mapping)
            else:
                mapping.valid_to = since
    session.flush()
    return map_consumer(session, customer, match, value, since=since, now=now)


def end_mapping(session: Session, mapping_id: str, *, at: datetime) -> ConsumerMapping:
    """End a mapping at an instant (exclusive): from then on the consumer's usage is unmapped."""
    mapping = session.get(ConsumerMapping, mapping_id)
    if mapping is None:
        raise NotFound(f"there is no mapping {mapping_id!r}")
    if mapping.valid_from >= at:
        raise InvalidInput.of("/at", f"must be after {mapping.valid_from.isoformat()}, when the mapping begins")
    mapping.valid_to = at
    session.flush()
    _attribute(session, mapping)
    return mapping


def list_mappings(
    session: Session, *, customer_id: str | None = None, after: str | None = None, limit: int = 1000
) -> Sequence[ConsumerMapping]:
    """List mappings by time of making, after the given id."""
    query = select(ConsumerMapping).order_by(ConsumerMapping.id).limit(limit)
    if customer_id is not None:
        query = query.where(ConsumerMapping.customer_id == customer_id)
    return session.scalars(query if after is None else query.where(ConsumerMapping.id > after)).all()


def mappings_by(session: Session, match: str, value: str) -> Sequence[ConsumerMapping]:
    """Return every mapping of one name of a consumer, past and present."""
    return session.scalars(
        select(ConsumerMapping)
        .where(ConsumerMapping.match == match, ConsumerMapping.value == value)
        .order_by(ConsumerMapping.valid_from)
    ).all()


def subjects_named(session: Session, mapping: ConsumerMapping) -> Sequence[Subject]:
    """Return the subjects that bear the name of the mapping today."""
    return session.scalars(select(Subject).where(COLUMN_OF[mapping.match] == mapping.value)).all()


def _check(mapping: ConsumerMapping) -> None:
    if mapping.match not in MATCHES:
        raise InvalidInput.of("/match", f"{mapping.match!r} is none of {', '.join(MATCHES)}")
    if not 0 < len(mapping.value) <= LONGEST_VALUE:
        raise InvalidInput.of("/value", f"needs 1 to {LONGEST_VALUE} characters")


def _refuse_overlap(session: Session, new: ConsumerMapping) -> None:
    rivals = list(mappings_by(session, new.match, new.value))
    for mappings in mappings_of(session, subjects_named(session, new)).values():
        rivals += [rival for rival in mappings if rival.customer_id != new.customer_id]
    for rival in rivals:
        if rival.valid_to is None or rival.valid_to > new.valid_from:
            raise Conflict(
                f"the consumer is mapped by {rival.match} {rival.value!r} to customer {rival.customer_id} from "
                f"{rival.valid_from.isoformat()} on; end that mapping or map it anew from a later date"
            )


def _attribute(session: Session, mapping: ConsumerMapping) -> None:
    note_change(session, "mappings")
    attribute_subjects(session, [subject.subject for subject in subjects_named(session, mapping)])
