"""Verify the event store: recompute digests and totals from the raw events, and report every difference.

One pass over the events in the order of their times. Memory holds what one day's digests and one hour's totals
come to, and the dimension sets; not the events.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from sys import intern
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.metering.commitments import set_commitment
from tollkeeper.metering.digest_tables import EventDigest
from tollkeeper.metering.digests import DAY_US, event_digest, unfolded_sums
from tollkeeper.metering.dimensions import SetKey, set_digest
from tollkeeper.metering.drop_days import check_dropped
from tollkeeper.metering.event import instant_of
from tollkeeper.metering.find_twice import IdLedger, Twice
from tollkeeper.metering.findings import Finding, Kind, Range, Verified
from tollkeeper.metering.kong_request import Dimensions
from tollkeeper.metering.read import SETS, SetFacts, source_names
from tollkeeper.metering.recount import Unreadable, count_row
from tollkeeper.metering.rows import EventKey, EventRow, id_of
from tollkeeper.metering.stores.archive import Selection, Stretch
from tollkeeper.metering.stores.merged import first_and_last_us, get_row, with_archived
from tollkeeper.metering.tables import DimensionSet, StoredEvent
from tollkeeper.metering.verify_days import DayCheck
from tollkeeper.metering.verify_totals import TotalsCheck

Progress = Callable[[int], None]
REPORT_EVERY = 100_000


class KnownSet(NamedTuple):
    """A dimension set as verifying needs it; its facts are without the dimensions, which would fill the memory."""

    facts: SetFacts
    subject_id: int
    commitment: bytes


def verify_events(session: Session, wanted: Range, done: Verified, progress: Progress) -> Iterator[Finding]:
    """Yield every difference; `done` tells at the end what was looked at.

    Run it in one snapshot. It finds events that were changed, lost, or added past the door; totals that are not
    those of the events; changed dimension sets; and ids that are stored under two times of the range.
    """
    sets: dict[int, KnownSet] = {}
    yield from _known_sets(session, wanted.subjects, sets)
    if wanted.subjects is None:
        yield from check_dropped(session, wanted)
    with IdLedger() as ledger:
        check = RowCheck(session, wanted, sets, done, ledger)
        selection = Selection(within=[Stretch(wanted.first_day * DAY_US, wanted.end_day * DAY_US)])
        with closing(_rows(session, wanted)) as rows:
            for row in with_archived(session, rows, selection):
                yield from check.add(row)
                if done.events % REPORT_EVERY == 0:
                    progress(done.events)
        yield from check.up_to(wanted.end_day * DAY_US)
        for twice in ledger.find_twice():
            yield _twice(session, check.sources, twice)


def whole_range(session: Session, subjects: Collection[str] | None = None) -> Range:
    """Return the days of all events and of all digests."""
    days = [time_us // DAY_US for time_us in first_and_last_us(session) or ()]
    first, last = session.execute(select(func.min(EventDigest.day), func.max(EventDigest.day))).one()
    days += [] if first is None else [first, last]
    days += [key.day for key in unfolded_sums(session)]
    return Range(min(days), max(days) + 1, subjects) if days else Range(0, 0, subjects)


class RowCheck:
    """Takes rows in the order of their times; compares each hour and day when it is over."""

    def __init__(
        self, session: Session, wanted: Range, sets: dict[int, KnownSet], done: Verified, ledger: IdLedger
    ) -> None:
        self.sources = source_names(session)
        self._packed = {number: name.encode() for number, name in self.sources.items()}
        self._is_whole = wanted.subjects is None
        self._sets = sets
        self._done = done
        self._ledger = ledger
        names = {known.subject_id: known.facts.subject for known in sets.values()}
        self._days = DayCheck(session, wanted, names, done)
        self._totals = TotalsCheck(session, {number: known.facts for number, known in sets.items()}, wanted)

    def add(self, row: EventRow) -> Iterator[Finding]:
        """Take one row; yield what was found up to it."""
        time_us, source_id, id_key, set_id, id_text, payload = row
        known = self._sets.get(set_id)
        if known is None:
            if self._is_whole:
                yield Finding(Kind.UNREADABLE, time_us // DAY_US, None, f"an event's dimension set {set_id} is gone")
            return
        yield from self.up_to(time_us)
        source = self._packed.get(source_id, b"")
        self._days.add(known.subject_id, event_digest(time_us, source, id_key, id_text, known.commitment, payload))
        self._ledger.add(time_us, source_id, id_key)
        self._done.events += 1
        try:
            count_row(self._totals.hours, row, known.facts)
        except Unreadable as reason:
            named = f"event {id_of(id_key, id_text)}: {reason}"
            yield Finding(Kind.UNREADABLE, time_us // DAY_US, known.facts.subject, named)

    def up_to(self, time_us: int) -> Iterator[Finding]:
        """Compare all hours and days that ended by this time."""
        yield from self._totals.up_to(time_us)
        yield from self._days.up_to(time_us // DAY_US)


def _twice(session: Session, sources: dict[int, str], twice: Twice) -> Finding:
    key = EventKey(twice.first_us, twice.source_id, twice.id_key)
    row = get_row(session, key)
    assert row is not None
    times = " and ".join(instant_of(time_us).isoformat() for time_us in (twice.first_us, twice.second_us))
    named = f"{sources[twice.source_id]} {id_of(row.id_key, row.id_text)} is stored under {times}"
    return Finding(Kind.TWICE, twice.second_us // DAY_US, None, named)


def _known_sets(session: Session, subjects: Collection[str] | None, sets: dict[int, KnownSet]) -> Iterator[Finding]:
    """Fill `sets`, without their dimensions; yield those whose content is not what their own digest says."""
    wanted = None if subjects is None else set(subjects)
    query = SETS.add_columns(DimensionSet.digest, DimensionSet.subject_id).execution_options(yield_per=1_000)
    rows: Any = session.execute(query)
    for *columns, digest, subject_id in rows:
        facts = SetFacts(*columns)
        if wanted is not None and facts.subject not in wanted:
            continue
        own = set_commitment(facts.event_type, facts.subject, facts.measured, facts.dimensions)
        slim = SetFacts(facts.id, intern(facts.event_type), intern(facts.subject), facts.measured, {})
        sets[facts.id] = KnownSet(slim, subject_id, own)
        if _digest_of(facts) != digest:
            named = f"dimension set {facts.id} was changed: {dict(facts.dimensions)}"
            yield Finding(Kind.SET, None, facts.subject, named)


def _digest_of(facts: SetFacts) -> bytes | None:
    try:
        dimensions = msgspec.convert(facts.dimensions, Dimensions)
    except msgspec.ValidationError:
        return None
    return set_digest(SetKey(facts.event_type, facts.subject, dimensions, facts.measured))


def _rows(session: Session, wanted: Range) -> Any:
    columns = (StoredEvent.time_us, StoredEvent.source_id, StoredEvent.id_key, StoredEvent.set_id)
    query = (
        select(*columns, StoredEvent.id_text, StoredEvent.payload)
        .where(StoredEvent.time_us >= wanted.first_day * DAY_US, StoredEvent.time_us < wanted.end_day * DAY_US)
        .order_by(StoredEvent.time_us, StoredEvent.source_id, StoredEvent.id_key)
        .execution_options(yield_per=2_000)
    )
    return session.execute(query)
