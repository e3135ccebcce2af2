"""Read the usage of many charges and the events behind it in one pass over the events, so that both are of one moment.

An event is decoded once, whatever counts it. What is read is in order of time; so each charge keeps no more than
its aggregates and a running hash.
"""

import hashlib
import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from tollkeeper.metering.aggregate import Aggregate
from tollkeeper.metering.dimensions import content_of
from tollkeeper.metering.event import instant_of
from tollkeeper.metering.measure import Question, event_matches, event_value, set_matches, sets_decide
from tollkeeper.metering.read import ReadEvent, SetFacts, list_sets, read_events, source_names
from tollkeeper.metering.retention_bound import require_raw
from tollkeeper.metering.rows import id_of
from tollkeeper.metering.values import NoNumber
from tollkeeper.subscriptions.coverage import CoveredStretch
from tollkeeper.usage.spans import attributions_of, owned_spans_of
from tollkeeper.usage.usage_of import Pool, pool_of, question_of


class Want(NamedTuple):
    """A feature, and whose usage of it counts when."""

    feature_key: str
    stretches: tuple[CoveredStretch, ...]


@dataclass(frozen=True, slots=True)
class EventRange:
    """The events behind a number; the times are None where there are none."""

    first_time: datetime | None
    last_time: datetime | None
    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What was used, and the events that say so."""

    pool: Pool
    events: EventRange


class Proved(NamedTuple):
    """What the digest of a range hashes of an event, after its time."""

    source: str
    id: str
    content: bytes


class Place(NamedTuple):
    """Where the events of a dimension set count: from when, until when, for which charge, as whose usage."""

    start_us: int
    end_us: int
    counter: "Counter"
    customer_id: str


def read_usage(session: Session, wanted: Collection[Want]) -> dict[Want, Reading]:
    """Return the reading of each want; raises NotFound for an unknown feature."""
    questions = {key: question_of(session, key) for key in sorted({want.feature_key for want in wanted})}
    counters = {want: Counter(questions[want.feature_key]) for want in wanted}
    places, sets = _places(session, counters)
    sources = source_names(session) if places else {}
    if places:
        require_raw(session, min(place.start_us for found in places.values() for place in found))
    for start_us, end_us in _windows(place for found in places.values() for place in found):
        for event in read_events(session, sets, start_us, end_us):
            _count(event, places[event.facts.id], sources)
    return {want: counter.reading() for want, counter in counters.items()}


def _places(session: Session, counters: Mapping[Want, "Counter"]) -> tuple[dict[int, list[Place]], dict[int, SetFacts]]:
    """Return for each dimension set that matters where its events count."""
    attributions = attributions_of(session, {one.customer_id for want in counters for one in want.stretches})
    spans = {want: owned_spans_of(attributions, want.stretches) for want in counters}
    subjects = {subject for found in spans.values() for one in found for subject in one.owners}
    of_subject: dict[str, list[SetFacts]] = defaultdict(list)
    for facts in list_sets(session, None, subjects):
        of_subject[facts.subject].append(facts)
    places: dict[int, list[Place]] = defaultdict(list)
    sets: dict[int, SetFacts] = {}
    for want, counter in counters.items():
        for span, owner_of in spans[want]:
            for subject, customer_id in owner_of.items():
                for facts in of_subject[subject]:
                    if set_matches(counter.question, facts):
                        sets[facts.id] = facts
                        places[facts.id].append(Place(span.start_us, span.end_us, counter, customer_id))
    return places, sets


def _windows(places: Iterable[Place]) -> Iterator[tuple[int, int]]:
    """Yield disjoint stretches of time that cover all places."""
    start_us = end_us = None
    for first, last in sorted({(place.start_us, place.end_us) for place in places}):
        if end_us is None or start_us is None:
            start_us, end_us = first, last
        elif first <= end_us:
            end_us = max(end_us, last)
        else:
            yield start_us, end_us
            start_us, end_us = first, last
    if start_us is not None and end_us is not None:
        yield start_us, end_us


def _count(event: ReadEvent, places: Sequence[Place], sources: Mapping[int, str]) -> None:
    proved: Proved | None = None
    for start_us, end_us, counter, customer_id in places:
        if start_us <= event.time_us < end_us and counter.takes(event, customer_id):
            proved = proved or _prove(event, sources[event.source_id])
            counter.prove(event.time_us, proved)


def _prove(event: ReadEvent, source: str) -> Proved:
    named = f"{event.facts.event_type}\0{event.facts.subject}\0".encode()
    content = hashlib.sha256(named + content_of(event.facts.event_type, event.data)).digest()
    return Proved(source, id_of(event.id_key, event.id_text), content)


class Counter:
    """What one charge has counted so far; it is given events in order of time."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self._sets_decide = sets_decide(question)
        self._by_customer: dict[str, Aggregate] = {}
        self._digest = hashlib.sha256()
        self._events = 0
        self._first_us = self._last_us = 0
        self._of_one_time: list[Proved] = []

    def takes(self, event: ReadEvent, customer_id: str) -> bool:
        """Count the event if it meets the conditions and has a value; tell whether it did."""
        if not self._sets_decide and not event_matches(self.question, event.facts, event.data):
            return False
        try:
            value = event_value(self.question, event.facts, event.data)
        except NoNumber:
            return False
        own = self._by_customer.get(customer_id)
        if own is None:
            own = self._by_customer[customer_id] = Aggregate(self.question.meter.aggregation)
        if isinstance(value, str):
            own.add_text(value)
        else:
            own.add_number(value, event.time_us)
        return True

    def prove(self, time_us: int, proved: Proved) -> None:
        """Put an event that was taken into the digest."""
        if time_us != self._last_us or not self._events:
            self._digest_one_time()
            self._first_us = self._first_us if self._events else time_us
            self._last_us = time_us
        self._of_one_time.append(proved)
        self._events += 1

    def reading(self) -> Reading:
        """Return what was counted; nothing can be added any more."""
        self._digest_one_time()
        digest = self._digest.hexdigest()
        if not self._events:
            return Reading(pool_of(self.question, self._by_customer), EventRange(None, None, 0, digest))
        first, last = instant_of(self._first_us), instant_of(self._last_us)
        return Reading(pool_of(self.question, self._by_customer), EventRange(first, last, self._events, digest))

    def _digest_one_time(self) -> None:
        """Hash the events of one instant by source and id, whose order in the database may be another."""
        for source, event_id, content in sorted(self._of_one_time):
            self._digest.update(struct.pack(">q", self._last_us))
            for part in (source.encode(), event_id.encode(), content):
                self._digest.update(struct.pack(">I", len(part)) + part)
        self._of_one_time.clear()
