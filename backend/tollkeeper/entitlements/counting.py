"""Count a limit's usage twice a second without reading the same events again and again.

Whole hours come from hourly totals, a few rows. A period or a mapping that begins in the middle of an hour
leaves an edge, a part of an hour, that only the events themselves can tell: all traffic of that hour would be
read for each count. So the edge's number is kept with the limit, together with the total of the whole hour as
it was then. While that total stands, so does the edge. What is added to it later is counted as the edge's own:
new events are young, and those that are not (late ones from before the start) are told apart by one more
reading after the hour is over.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Attribution
from tollkeeper.entitlements.tables import EntitlementLimit
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.measure import SUBJECT_PATH, Question, Span, measure, totals_answer
from tollkeeper.metering.meters import Aggregation
from tollkeeper.metering.totals import HOUR_US
from tollkeeper.usage.spans import cut_spans
from tollkeeper.usage.usage_of import question_of

NOTHING = Decimal(0)
CHUNK = 5000
# A count may take a twentieth of the time: one of 50 ms is repeated after a second, not twice a second.
REST_FACTOR = 20
FREE_SECONDS = 0.02
# Late events still come for some minutes after the hour.
SETTLED_AFTER_US = 10 * 60 * 1_000_000

Totals = dict[tuple[str, int, int], dict[str, Decimal]]


@dataclass(frozen=True, slots=True)
class Edge:
    """The number of a part of an hour, and that of the whole hour when it was read; `is_final` after the hour."""

    number: Decimal
    whole: Decimal
    is_final: bool

    def as_json(self) -> list[object]:
        """Return what is kept with the limit."""
        return [format(self.number, "f"), format(self.whole, "f"), self.is_final]


@dataclass(frozen=True, slots=True)
class Count:
    """What was used of a limit in these stretches of time; a limit that has others by now needs another count."""

    stretches: list[list[str]]
    used: Decimal
    edges: dict[str, list[object]]
    again_at: datetime | None


class Counter:
    """Counts limits, many at a time: one reading of the totals for all whose hours are the same."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self._now = now
        self._questions: dict[str, Question] = {}

    def count(self, limits: Sequence[EntitlementLimit]) -> dict[str, Count]:
        """Return the count of each limit by its id."""
        spans = self._spans_of(limits)
        totals = self._read_totals(limits, spans)
        return {limit.id: self._count_one(limit, spans[limit.id], totals) for limit in limits}

    def _spans_of(self, limits: Sequence[EntitlementLimit]) -> dict[str, list[Span]]:
        customer_ids = sorted({customer_id for limit in limits for customer_id, _, _ in limit.stretches})
        attributions: dict[str, list[Attribution]] = {}
        for first in range(0, len(customer_ids), CHUNK):
            some = customer_ids[first : first + CHUNK]
            for row in self._session.scalars(select(Attribution).where(Attribution.customer_id.in_(some))):
                attributions.setdefault(row.customer_id, []).append(row)
        return {
            limit.id: [
                span
                for customer_id, start, end in limit.stretches
                for span in cut_spans(
                    attributions.get(customer_id, ()), datetime.fromisoformat(start), datetime.fromisoformat(end)
                )
            ]
            for limit in limits
        }

    def _read_totals(self, limits: Sequence[EntitlementLimit], spans: Mapping[str, list[Span]]) -> Totals:
        """Return {(feature, start, end): {subject: number}} of all whole hours that the counts are made of."""
        wanted: dict[tuple[str, int, int], set[str]] = {}
        for limit in limits:
            if not can_be_cut(self._question(limit.feature_key)):
                continue
            for span in spans[limit.id]:
                for hours in (*_body(span), *map(_hour_of, _edges(span))):
                    key = (limit.feature_key, hours.start_us, hours.end_us)
                    wanted.setdefault(key, set()).update(hours.subjects or ())
        totals: Totals = {}
        for (feature_key, start, end), subjects in wanted.items():
            question = replace(self._question(feature_key), group_by=(SUBJECT_PATH,))
            groups = measure(self._session, question, [Span(frozenset(subjects), start, end)])
            numbers = {str(subject): aggregate.quantity() or NOTHING for (subject,), aggregate in groups.items()}
            totals[feature_key, start, end] = numbers
        return totals

    def _count_one(self, limit: EntitlementLimit, spans: list[Span], totals: Totals) -> Count:
        started = time.perf_counter()
        question = self._question(limit.feature_key)
        edges: dict[str, list[object]] = {}
        if can_be_cut(question):
            used = sum((_total(totals, limit, body) for span in spans for body in _body(span)), NOTHING)
            for edge in (edge for span in spans for edge in _edges(span)):
                found = self._edge(limit, edge, totals)
                edges[_key_of(edge)] = found.as_json()
                used += found.number
        else:
            used = self._measure(question, spans)
        took = time.perf_counter() - started
        again_at = self._now + timedelta(seconds=took * REST_FACTOR) if took > FREE_SECONDS else None
        return Count(limit.stretches, used, edges, again_at)

    def _edge(self, limit: EntitlementLimit, edge: Span, totals: Totals) -> Edge:
        hour = _hour_of(edge)
        whole = _total(totals, limit, hour)
        known = _read(limit.edges.get(_key_of(edge)))
        is_over = microseconds_of(self._now) >= hour.end_us + SETTLED_AFTER_US
        if known is not None and whole == known.whole and (known.is_final or not is_over):
            return known
        if known is not None and not is_over:
            return Edge(known.number + whole - known.whole, whole, is_final=False)
        return Edge(self._measure(self._question(limit.feature_key), [edge]), whole, is_final=is_over)

    def _measure(self, question: Question, spans: list[Span]) -> Decimal:
        groups = measure(self._session, question, spans)
        return (groups[()].quantity() or NOTHING) if () in groups else NOTHING

    def _question(self, feature_key: str) -> Question:
        if feature_key not in self._questions:
            self._questions[feature_key] = question_of(self._session, feature_key)
        return self._questions[feature_key]


def _total(totals: Totals, limit: EntitlementLimit, hours: Span) -> Decimal:
    numbers = totals[limit.feature_key, hours.start_us, hours.end_us]
    return sum((numbers.get(subject, NOTHING) for subject in hours.subjects or ()), NOTHING)


def _hour_of(edge: Span) -> Span:
    first = edge.start_us // HOUR_US * HOUR_US
    return Span(edge.subjects, first, first + HOUR_US)


def can_be_cut(question: Question) -> bool:
    """Tell whether parts of a period add up to the whole, and hours are totalled."""
    return question.meter.aggregation in {Aggregation.COUNT, Aggregation.SUM} and totals_answer(question)


def _body(span: Span) -> Iterator[Span]:
    first, end = -(-span.start_us // HOUR_US), span.end_us // HOUR_US
    if first < end:
        yield Span(span.subjects, first * HOUR_US, end * HOUR_US)


def _edges(span: Span) -> Iterator[Span]:
    first, end = -(-span.start_us // HOUR_US) * HOUR_US, span.end_us // HOUR_US * HOUR_US
    if first > end:  # inside one hour
        yield span
        return
    if span.start_us < first:
        yield Span(span.subjects, span.start_us, first)
    if end < span.end_us:
        yield Span(span.subjects, end, span.end_us)


def _key_of(edge: Span) -> str:
    subjects = "\0".join(sorted(edge.subjects or ()))
    return f"{edge.start_us}-{edge.end_us}-{hashlib.sha256(subjects.encode()).hexdigest()[:12]}"


def _read(kept: list[object] | None) -> Edge | None:
    if kept is None:
        return None
    number, whole, is_final = kept
    return Edge(Decimal(str(number)), Decimal(str(whole)), bool(is_final))
