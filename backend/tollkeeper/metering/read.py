"""Read the event store: which dimension sets match, their hourly totals, their events one by one."""

from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Integer, bindparam, exists, func, select, text
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Subject
from tollkeeper.metering.dimensions import COUNTED, join_data
from tollkeeper.metering.stores.archive import Selection, Stretch
from tollkeeper.metering.stores.merged import with_archived
from tollkeeper.metering.tables import DimensionSet, EventSource, HourlyTotal, OddTotal, StoredEvent
from tollkeeper.money import EXACT
from tollkeeper.storage.upsert import is_postgresql

CHUNK = 5_000
# Above so many sets one pass over all of the hours' rows is cheaper than naming the sets.
MOST_NAMED_SETS = 2_000
SETS = select(
    DimensionSet.id, DimensionSet.event_type, Subject.subject, DimensionSet.measured, DimensionSet.dimensions
).join(Subject, Subject.id == DimensionSet.subject_id)


@dataclass(frozen=True, slots=True)
class SetFacts:
    """A dimension set, as reading needs it."""

    id: int
    event_type: str
    subject: str
    measured: int
    dimensions: Mapping[str, Any]


class SetTotals(NamedTuple):
    """What the events of one set in some hours come to; `numbers` by column of COUNTED."""

    events: int
    numbers: dict[str, Decimal]


class Hours(NamedTuple):
    """The hours [first, end), in windows of `size` hours that are counted from `base` on."""

    first: int
    end: int
    base: int
    size: int


class ReadEvent(NamedTuple):
    """A stored event, put together again."""

    time_us: int
    source_id: int
    id_key: bytes
    id_text: str | None
    facts: SetFacts
    data: Any


def list_sets(session: Session, event_type: str | None, subjects: Collection[str] | None = None) -> Iterator[SetFacts]:
    """Yield the dimension sets of a type (or all), of these subjects (or of any)."""
    query = SETS
    if event_type is not None:
        query = query.where(DimensionSet.event_type == event_type)
    if subjects is None:
        yield from _facts(session.execute(query))
        return
    wanted = sorted(subjects)
    for start in range(0, len(wanted), CHUNK):
        chunk = query.where(Subject.subject.in_(wanted[start : start + CHUNK]))
        yield from _facts(session.execute(chunk))


def sets_by_id(session: Session, set_ids: Collection[int]) -> dict[int, SetFacts]:
    """Return the named dimension sets."""
    wanted = sorted(set_ids)
    chunks = (wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK))
    return {
        facts.id: facts for chunk in chunks for facts in _facts(session.execute(SETS.where(DimensionSet.id.in_(chunk))))
    }


def read_totals(session: Session, set_ids: Collection[int], first_hour: int, end_hour: int) -> dict[int, SetTotals]:
    """Return the totals of these sets over the hours [first, end), by set; sets without events are left out."""
    by_window = read_totals_by_window(session, set_ids, Hours(first_hour, end_hour, first_hour, end_hour - first_hour))
    return {set_id: totals for (_, set_id), totals in by_window.items()}


def count_events_before(session: Session, set_ids: Collection[int], hour: int) -> dict[int, int]:
    """Return how many events each set has before the hour (since 1970), from the totals; none: it is left out."""
    wanted = sorted(set_ids)
    found: dict[int, int] = {}
    for start in range(0, len(wanted), CHUNK):
        query = (
            select(HourlyTotal.set_id, func.sum(HourlyTotal.events))
            .where(HourlyTotal.set_id.in_(wanted[start : start + CHUNK]), HourlyTotal.hour < hour)
            .group_by(HourlyTotal.set_id)
        )
        found |= {set_id: int(events) for set_id, events in session.execute(query)}
    return found


def read_totals_by_window(session: Session, set_ids: Collection[int], hours: Hours) -> dict[tuple[int, int], SetTotals]:
    """Return the totals by number of window and set; what has no events is left out."""
    is_named = len(set_ids) <= MOST_NAMED_SETS
    values: dict[str, Any] = {**hours._asdict(), **({"set_ids": sorted(set_ids)} if is_named else {})}
    totals, odd = _total_queries(is_named=is_named)
    if not is_named and is_postgresql(session):
        # A hundred thousand sets are summed up in memory; with its usual 4 MB it would sort each row on disk.
        session.execute(text("SET LOCAL work_mem = '64MB'"))
    found: dict[tuple[int, int], SetTotals] = {}
    odd_is_there = False
    rows: Any = session.execute(totals, values)
    for index, set_id, events, *numbers, is_there in rows:
        odd_is_there |= is_there
        if set_id in set_ids:
            exact = (Decimal(int(number)) for number in numbers)
            found[index, set_id] = SetTotals(int(events), dict(zip(COUNTED, exact, strict=True)))
    rows = session.execute(odd, values) if odd_is_there else ()
    for index, set_id, column, amount in rows:
        if set_id in set_ids:
            numbers = found[index, set_id].numbers
            numbers[column] = EXACT.add(numbers[column], amount)
    return found


@cache
def _total_queries(*, is_named: bool) -> tuple[Any, Any]:
    """Return what sums up totals by window and set, and what lists odd ones; to write them costs as much as to ask.

    The first says in its last column whether the second has rows. It nearly never has, and a question of its own
    would be a third of the time that a quota takes.
    """
    base, size, first, end = (bindparam(name, type_=Integer()) for name in ("base", "size", "first", "end"))
    named = bindparam("set_ids", type_=BigInteger(), expanding=True)

    def within(table: Any) -> list[Any]:
        hours = [table.hour >= first, table.hour < end]
        return [*hours, table.set_id.in_(named)] if is_named else hours

    odd = select((OddTotal.hour - base) // size, OddTotal.set_id, OddTotal.column, OddTotal.amount)
    odd = odd.where(*within(OddTotal))
    index = ((HourlyTotal.hour - base) // size).label("index")
    columns = [func.sum(getattr(HourlyTotal, column)) for column in ("events", *COUNTED)]
    totals = select(index, HourlyTotal.set_id, *columns, exists(odd))
    return totals.where(*within(HourlyTotal)).group_by(index, HourlyTotal.set_id), odd


def read_events(session: Session, sets: Mapping[int, SetFacts], start_us: int, end_us: int) -> Generator[ReadEvent]:
    """Yield the events of these sets in [start, end), in order of time, source and id; close it if you stop early."""
    query = (
        select(
            StoredEvent.time_us,
            StoredEvent.source_id,
            StoredEvent.id_key,
            StoredEvent.set_id,
            StoredEvent.id_text,
            StoredEvent.payload,
        )
        .where(StoredEvent.time_us >= start_us, StoredEvent.time_us < end_us)
        .order_by(StoredEvent.time_us, StoredEvent.source_id, StoredEvent.id_key)
        .execution_options(yield_per=1_000)
    )
    result: Any = session.execute(_of_sets(query, StoredEvent.set_id, sets.keys()))
    wanted = Selection(within=[Stretch(start_us, end_us, sets.keys() if len(sets) <= MOST_NAMED_SETS else None)])
    with result:
        for time_us, source_id, id_key, set_id, id_text, payload in with_archived(session, result, wanted):
            facts = sets.get(set_id)
            if facts is not None:
                data = join_data(facts.event_type, facts.dimensions, payload)
                yield ReadEvent(time_us, source_id, id_key, id_text, facts, data)


def source_names(session: Session) -> dict[int, str]:
    """Return the names of all sources by their number; there are about as many as gateway nodes."""
    return dict(session.execute(select(EventSource.id, EventSource.source)).all())


def _facts(rows: Any) -> Iterator[SetFacts]:
    return (SetFacts(*row) for row in rows)


def _of_sets(query: Any, column: Any, set_ids: Collection[int]) -> Any:
    return query.where(column.in_(sorted(set_ids))) if len(set_ids) <= MOST_NAMED_SETS else query
