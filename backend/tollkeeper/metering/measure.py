"""Measure: what a meter makes of the events of some subjects in some windows of time.

Whole hours come from the hourly totals where they can answer; the ends of a window that is not cut at hours,
and every other question, from the events themselves. Both ways give the same number.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from tollkeeper.metering.aggregate import Aggregate
from tollkeeper.metering.dimensions import BITS, COUNTED, DIMENSION_PATHS
from tollkeeper.metering.event import KONG_REQUEST
from tollkeeper.metering.filters import Filter, Lookup, matches
from tollkeeper.metering.meters import Aggregation, value_paths
from tollkeeper.metering.read import SetFacts, SetTotals, list_sets, read_events, read_totals
from tollkeeper.metering.retention_bound import require_raw
from tollkeeper.metering.tables import Meter
from tollkeeper.metering.totals import HOUR_US
from tollkeeper.metering.values import NoNumber, find_value, number_of, text_of
from tollkeeper.money import EXACT

SUBJECT_PATH = "$subject"
COLUMN_OF = {path: column for column, path in COUNTED.items()}
Group = tuple[str | None, ...]


class Span(NamedTuple):
    """Events of these subjects (None: of all) with start_us <= time < end_us."""

    subjects: frozenset[str] | None
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Question:
    """A meter, a further filter (a feature's), and the dimensions to group by, as the meter names them."""

    meter: Meter
    filter: Filter = field(default_factory=dict)
    group_by: tuple[str, ...] = ()

    def path(self, name: str) -> str:
        """Return the path of a dimension: a group-by name of the meter, or a path itself."""
        return self.meter.group_by.get(name, name)


def measure(session: Session, question: Question, spans: Sequence[Span]) -> dict[Group, Aggregate]:
    """Return the aggregate of each group over all spans; spans of one subject must not overlap."""
    groups: dict[Group, Aggregate] = {}
    for span in spans:
        sets = matching_sets(session, question, span.subjects)
        if not sets:
            continue
        if not totals_answer(question):
            fold_events(session, question, sets, span, groups)
            continue
        first_hour, end_hour = -(-span.start_us // HOUR_US), span.end_us // HOUR_US
        if first_hour >= end_hour:
            fold_events(session, question, sets, span, groups)
            continue
        for set_id, totals in read_totals(session, sets.keys(), first_hour, end_hour).items():
            fold_totals(question, sets[set_id], totals, groups)
        fold_events(session, question, sets, Span(None, span.start_us, first_hour * HOUR_US), groups)
        fold_events(session, question, sets, Span(None, end_hour * HOUR_US, span.end_us), groups)
    return groups


def matching_sets(session: Session, question: Question, subjects: Collection[str] | None) -> dict[int, SetFacts]:
    """Return the dimension sets whose events can match; conditions on other fields remain to be checked."""
    found = list_sets(session, question.meter.event_type, subjects)
    return {facts.id: facts for facts in found if set_matches(question, facts)}


def set_matches(question: Question, facts: SetFacts) -> bool:
    """Say whether events of the set can match; pure."""
    if facts.event_type != question.meter.event_type:
        return False
    conditions = _conditions(question, of_sets=True)
    return all(matches(filter_, lookup_of(question, facts, facts.dimensions)) for filter_ in conditions)


def sets_decide(question: Question) -> bool:
    """Say whether all events of a matching set match: no condition is left for `event_matches`."""
    return not any(_conditions(question, of_sets=False))


def event_matches(question: Question, facts: SetFacts, data: Any) -> bool:
    """Say whether an event of a matching set meets the conditions on what sets do not hold."""
    return all(matches(filter_, lookup_of(question, facts, data)) for filter_ in _conditions(question, of_sets=False))


def event_value(question: Question, facts: SetFacts, data: Any) -> Decimal | str:
    """Return the event's value for the meter; raises NoNumber with the reason if it has none."""
    meter = question.meter
    if meter.aggregation == Aggregation.COUNT:
        return Decimal(1)
    paths = value_paths(meter)
    if meter.aggregation == Aggregation.UNIQUE_COUNT:
        text = text_of(facts.subject if paths[0] == SUBJECT_PATH else find_value(data, paths[0]))
        if text is None:
            raise NoNumber(f"{paths[0]} is missing")
        return text
    return _sum_of(data, paths)


def _sum_of(data: Any, paths: Sequence[str]) -> Decimal:
    total: Decimal | None = None
    reasons = []
    for path in paths:
        try:
            total = EXACT.add(number_of(find_value(data, path)), total or Decimal(0))
        except NoNumber as reason:
            reasons.append(f"{path} {reason}")
    if total is None:
        raise NoNumber("; ".join(reasons))
    return total


def totals_answer(question: Question) -> bool:
    """Say whether hourly totals hold the answer: they do for counts and sums by what dimension sets hold."""
    meter = question.meter
    if meter.event_type != KONG_REQUEST or meter.aggregation not in {Aggregation.COUNT, Aggregation.SUM}:
        return False
    if meter.aggregation == Aggregation.SUM and any(path not in COLUMN_OF for path in value_paths(meter)):
        return False
    return all(_is_of_sets(question, name) for name in (*question.group_by, *meter.filter, *question.filter))


def _is_of_sets(question: Question, name: str) -> bool:
    path = question.path(name)
    return path == SUBJECT_PATH or (question.meter.event_type == KONG_REQUEST and path in DIMENSION_PATHS)


def _conditions(question: Question, *, of_sets: bool) -> list[Filter]:
    return [
        {name: tests for name, tests in filter_.items() if _is_of_sets(question, name) == of_sets}
        for filter_ in (question.meter.filter, question.filter)
    ]


def lookup_of(question: Question, facts: SetFacts, data: Any) -> Lookup:
    """Return a look-up of an event's fields by the meter's names of dimensions, by path, or as `$subject`."""

    def look_up(name: str) -> Any:
        path = question.path(name)
        return facts.subject if path == SUBJECT_PATH else find_value(data, path)

    return look_up


def _group_of(question: Question, facts: SetFacts, data: Any) -> Group:
    look_up = lookup_of(question, facts, data)
    return tuple(text_of(look_up(name)) for name in question.group_by)


def fold_totals(question: Question, facts: SetFacts, totals: SetTotals, groups: dict[Group, Aggregate]) -> None:
    """Add what the events of a set come to, to its group."""
    columns = [COLUMN_OF[path] for path in value_paths(question.meter)]
    if columns and question.meter.aggregation == Aggregation.SUM:
        if not any(facts.measured & BITS[column] for column in columns):
            return
        total = reduce(EXACT.add, (totals.numbers[column] for column in columns))
    else:
        total = Decimal(totals.events)
    group = _group_of(question, facts, facts.dimensions)
    _aggregate(question, groups, group).add_total(total, totals.events)


def fold_events(
    session: Session,
    question: Question,
    sets: Mapping[int, SetFacts],
    span: Span,
    groups: dict[Group, Aggregate],
) -> None:
    """Add the events of a span one by one, each to its group."""
    if span.start_us >= span.end_us:
        return
    require_raw(session, span.start_us)
    for event in read_events(session, sets, span.start_us, span.end_us):
        if not event_matches(question, event.facts, event.data):
            continue
        try:
            value = event_value(question, event.facts, event.data)
        except NoNumber:
            continue
        aggregate = _aggregate(question, groups, _group_of(question, event.facts, event.data))
        aggregate.add(value, event.time_us)


def _aggregate(question: Question, groups: dict[Group, Aggregate], group: Group) -> Aggregate:
    aggregate = groups.get(group)
    if aggregate is None:
        aggregate = groups[group] = Aggregate(question.meter.aggregation)
    return aggregate
