"""Usage that is nobody's: subjects with events while they were mapped to no customer."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.customers.subjects import list_subjects
from tollkeeper.customers.tables import Attribution, Subject
from tollkeeper.metering.event import instant_of, microseconds_of
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.meters import get_meter
from tollkeeper.metering.retention_bound import raw_from_us
from tollkeeper.metering.tables import DimensionSet, HourlyTotal


class Stretch(NamedTuple):
    """Half-open, in microseconds since 1970."""

    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class UnmappedUsage:
    """What a subject used while it was mapped to nobody, in `gaps`; `first_seen`, `last_seen` are of all its events."""

    subject: str
    consumer_id: str | None
    username: str | None
    custom_id: str | None
    requests: int
    tokens: int
    first_seen: datetime
    last_seen: datetime
    gaps: Sequence[Stretch]


def unmapped_usage(session: Session, *, limit: int = 1000) -> list[UnmappedUsage]:
    """Return the subjects with events that are nobody's, most requests first; refused requests do not count."""
    seen = _seen(session)
    gaps = _gaps(session, seen)
    spans = _spans(gaps, seen)
    requests, tokens = _per_subject(session, "requests", spans), _per_subject(session, "total_tokens", spans)
    most = sorted(gaps, key=lambda subject: (-requests.get(subject, 0), subject))[:limit]
    rows = list_subjects(session, most)
    return [
        UnmappedUsage(
            subject,
            (row := rows[subject]).consumer_id,
            row.username,
            row.custom_id,
            requests.get(subject, 0),
            tokens.get(subject, 0),
            instant_of(seen[subject].start_us),
            instant_of(seen[subject].end_us - 1),
            gaps[subject],
        )
        for subject in most
    ]


def spans_of(found: Sequence[UnmappedUsage]) -> list[Span]:
    """Return the spans of events that are nobody's, of these subjects."""
    seen = {one.subject: Stretch(microseconds_of(one.first_seen), microseconds_of(one.last_seen) + 1) for one in found}
    return _spans({one.subject: one.gaps for one in found}, seen)


def _seen(session: Session) -> dict[str, Stretch]:
    query = (
        select(Subject.subject, func.min(HourlyTotal.first_us), func.max(HourlyTotal.last_us))
        .join(DimensionSet, DimensionSet.id == HourlyTotal.set_id)
        .join(Subject, Subject.id == DimensionSet.subject_id)
        .group_by(Subject.subject)
    )
    # What was dropped can be billed to nobody any more.
    raw_us = raw_from_us(session)
    start_us = -(2**62) if raw_us is None else raw_us
    return {
        subject: Stretch(max(first, start_us), last + 1)
        for subject, first, last in session.execute(query)
        if last >= start_us
    }


def _gaps(session: Session, seen: Mapping[str, Stretch]) -> dict[str, list[Stretch]]:
    """Return the stretches of each subject's events in which it was mapped to nobody."""
    attributed: dict[str, list[Attribution]] = defaultdict(list)
    for one in session.scalars(select(Attribution).order_by(Attribution.subject, Attribution.valid_from)):
        attributed[one.subject].append(one)
    gaps: dict[str, list[Stretch]] = {}
    for subject, (start_us, end_us) in seen.items():
        found, here = [], start_us
        for one in attributed[subject]:
            found.append(Stretch(here, min(microseconds_of(one.valid_from), end_us)))
            here = max(here, end_us if one.valid_to is None else microseconds_of(one.valid_to))
        found.append(Stretch(here, end_us))
        if real := [gap for gap in found if gap.start_us < gap.end_us]:
            gaps[subject] = real
    return gaps


def _spans(gaps: Mapping[str, Sequence[Stretch]], seen: Mapping[str, Stretch]) -> list[Span]:
    """Ask for all the never mapped in one span, for the others gap by gap."""
    never = frozenset(subject for subject, found in gaps.items() if found == [seen[subject]])
    spans = [
        Span(frozenset({subject}), *gap) for subject, found in gaps.items() if subject not in never for gap in found
    ]
    if never:
        first = min(seen[subject].start_us for subject in never)
        spans.append(Span(never, first, max(seen[subject].end_us for subject in never)))
    return spans


def _per_subject(session: Session, meter_key: str, spans: Sequence[Span]) -> dict[str, int]:
    question = Question(get_meter(session, meter_key), group_by=("subject",))
    return {
        subject: int(part.quantity() or 0)
        for (subject,), part in measure(session, question, spans).items()
        if subject is not None
    }
