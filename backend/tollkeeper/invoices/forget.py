"""Forget a person: put pseudonyms for all identifiers, keep totals, digests and the proofs of invoices valid."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from tollkeeper.access.idempotency import forget_answers_about
from tollkeeper.catalog.tables import Feature
from tollkeeper.customers.forget_names import customers_of_subjects, forget_names, numbers_of_subjects
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.forget_tables import ForgottenProof
from tollkeeper.invoices.settle import stretches_of
from tollkeeper.invoices.tables import BilledPeriod
from tollkeeper.kong.tables import KongConsumer
from tollkeeper.metering.dimensions import DIMENSION_PATHS
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.forget_person import (
    Found,
    Person,
    find_person,
    note_days,
    rewrite_events,
    subjects_with_fields,
)
from tollkeeper.metering.forgetting_turns import wait_for_batches
from tollkeeper.metering.keeping_tables import EventExport, ForgettingAct, ForgottenDay
from tollkeeper.metering.retention_bound import raw_from_us
from tollkeeper.metering.stores.move import TURN
from tollkeeper.metering.stores.tables import RETURNED, EventMove
from tollkeeper.metering.tables import Meter
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.locks import wait_for_turn
from tollkeeper.usage.reading import Want, read_usage

_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What an act came to; `exported_days` are those whose exports were made before it and name the person."""

    act: ForgettingAct
    proofs: int
    exported_days: Sequence[int]


def forget_person(session: Session, person: Person, *, by: str, now: datetime) -> Forgotten:
    """Replace a person's identifiers by pseudonyms that nobody can lead back; the act is kept without either.

    Counts, sums and invoices stay what they are. A repeat finds nothing more and notes an act of no events. Raises
    InvalidInput for a person without any identifier, Conflict if a filter of a meter or feature names the
    person, or events lie in an archive.
    """
    _check(person)
    wait_for_turn(session, "forget")
    wait_for_batches(session)
    _refuse_archive(session)
    found = find_person(session, person)
    _refuse_filters(session, person, found)
    touched = numbers_of_subjects(session, found.names, found.subjects) | subjects_with_fields(session, person)
    touched |= {change.subject_id for change in found.changes.values()}
    proved = _proved(session, customers_of_subjects(session, touched))
    before = _digests(session, proved)
    done = rewrite_events(session, person, found)
    forget_names(session, found.names, found.subjects, now=now)
    _forget_consumers(session, found.names)
    fields = (value for some in person.fields.values() for value in some)
    forget_answers_about(session, {*found.names, *found.subjects, *person.subjects, *fields})
    act = ForgettingAct(
        id=new_id("fgt"),
        forgotten_at=now,
        by=by,
        events=done.events,
        subjects=len(touched),
        dimension_sets=len(found.changes),
    )
    session.add(act)
    session.flush()
    note_days(session, act.id, done)
    proofs = _prove_again(session, act, proved, before)
    session.flush()
    return Forgotten(act, proofs, _exported_days(session, act))


def _check(person: Person) -> None:
    words = (person.subjects, person.consumer_ids, person.usernames, person.custom_ids, person.credentials)
    if not (any(words) or any(person.fields.values())):
        raise InvalidInput.of("", "names nobody; give a subject, consumer id, username, custom id, credential or field")
    for path in sorted(person.fields.keys() & DIMENSION_PATHS):
        raise InvalidInput.of(f"/fields/{path}", "is a dimension; give it by its own name (usernames, credentials ...)")


def list_acts(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[ForgettingAct]:
    """List acts of forgetting, oldest first."""
    query = select(ForgettingAct).order_by(ForgettingAct.id).limit(limit)
    return session.scalars(query if after is None else query.where(ForgettingAct.id > after)).all()


def _refuse_archive(session: Session) -> None:
    """Refuse while events lie in an archive: their names would stay, and their dimension sets go."""
    wait_for_turn(session, TURN)
    if session.scalar(select(EventMove.id).where(EventMove.state != RETURNED).limit(1)) is not None:
        raise Conflict("events lie in the archive, which forgetting does not reach; bring them back first")


def _refuse_filters(session: Session, person: Person, found: Found) -> None:
    """Refuse what would change a number: a filter that names the person, a sum over a field to be forgotten."""
    words = {*found.names, *found.subjects, *(value for some in person.fields.values() for value in some)}
    meters, features = session.scalars(select(Meter)).all(), session.scalars(select(Feature)).all()
    for kind, one in [("meter", meter) for meter in meters] + [("feature", feature) for feature in features]:
        written = _json.encode(one.filter).decode()
        if any(_json.encode(word).decode() in written for word in words):
            raise Conflict(f"the filter of {kind} {one.key!r} names the person; its numbers would change")
    for meter in meters:
        summed = meter.value is not None and meter.aggregation not in {"unique_count", "count"}
        if summed and set(str(meter.value).split(" + ")) & person.fields.keys():
            raise Conflict(f"meter {meter.key!r} computes with {meter.value!r}; its numbers would change")


def _proved(session: Session, customer_ids: Collection[str]) -> list[BilledPeriod]:
    """Return the billed charges whose events may be the customers', and are still there."""
    raw_us = raw_from_us(session)
    rows = session.scalars(select(BilledPeriod).order_by(BilledPeriod.id).execution_options(yield_per=1_000))
    return [
        row
        for row in rows
        if row.proof["events"] is not None
        and any(one.customer_id in customer_ids for one in stretches_of(row))
        and (raw_us is None or all(microseconds_of(one.start) >= raw_us for one in stretches_of(row)))
    ]


def _digests(session: Session, rows: Sequence[BilledPeriod]) -> dict[str, str]:
    wants = {row.id: Want(row.proof["feature"], tuple(stretches_of(row))) for row in rows}
    readings = read_usage(session, set(wants.values()))
    return {row_id: readings[want].events.digest for row_id, want in wants.items()}


def _prove_again(
    session: Session, act: ForgettingAct, proved: Sequence[BilledPeriod], before: Mapping[str, str]
) -> int:
    """Keep the new digest of each charge whose events were those that were billed; return how many."""
    after = _digests(session, proved)
    count = 0
    for row in proved:
        known = {row.proof["events"]["digest"], *digests_after_forgetting(session, row.id)}
        if before[row.id] in known and after[row.id] != before[row.id]:
            session.add(ForgottenProof(billed_period_id=row.id, act_id=act.id, digest=after[row.id]))
            count += 1
    return count


def digests_after_forgetting(session: Session, billed_period_id: str) -> dict[str, datetime]:
    """Return the digests that acts left of a charge's events, and when."""
    query = (
        select(ForgottenProof.digest, ForgettingAct.forgotten_at)
        .join(ForgettingAct, ForgettingAct.id == ForgottenProof.act_id)
        .where(ForgottenProof.billed_period_id == billed_period_id)
    )
    return dict(session.execute(query).all())


def _forget_consumers(session: Session, names: Mapping[str, str]) -> None:
    words = list(names)
    columns = (KongConsumer.id, KongConsumer.username, KongConsumer.custom_id)
    session.execute(delete(KongConsumer).where(or_(*(column.in_(words) for column in columns))))


def _exported_days(session: Session, act: ForgettingAct) -> Sequence[int]:
    query = select(EventExport.day).join(ForgottenDay, ForgottenDay.day == EventExport.day)
    return session.scalars(query.where(ForgottenDay.act_id == act.id).order_by(EventExport.day)).all()
