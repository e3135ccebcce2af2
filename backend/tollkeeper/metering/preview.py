"""Say what a meter would make of the latest events, before it is defined; nothing is stored."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy.orm import Session

from tollkeeper.metering.aggregate import Aggregate
from tollkeeper.metering.event import instant_of
from tollkeeper.metering.filters import matches
from tollkeeper.metering.latest_events import latest_events
from tollkeeper.metering.measure import Question, event_value, lookup_of
from tollkeeper.metering.meters import Aggregation, MeterDraft, new_meter, value_paths
from tollkeeper.metering.read import ReadEvent
from tollkeeper.metering.values import NoNumber, number_of, text_of

LATEST = 100


class Effect(StrEnum):
    """What becomes of an event in which a field does not fit."""

    LEFT_OUT = "left_out"
    COUNTED_WITHOUT = "counted_without"


class Misfit(NamedTuple):
    """A field of the definition (JSON pointer), the path in `data` that it leads to, and why that does not fit."""

    field: str
    path: str
    reason: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class MeterPreview:
    """Of `examined` events `matched` would count and come to `value` (None: no number); what did not fit, how often.

    `first` and `last` are the instants of the events that were looked at; None if there are none.
    """

    examined: int
    matched: int
    value: Decimal | None
    first: datetime | None
    last: datetime | None
    misfits: Sequence[tuple[Misfit, int]]


def preview_meter(session: Session, draft: MeterDraft, *, now: datetime) -> MeterPreview:
    """Count the last 100 events of the type by a meter to be; its key may be taken.

    One event may be counted under several misfits: each says how many events it concerns. Raises InvalidInput
    as `create_meter` does.
    """
    question = Question(new_meter(draft, now=now))
    events = latest_events(session, draft.event_type, LATEST)
    aggregate = Aggregate(draft.aggregation)
    misfits: Counter[Misfit] = Counter()
    for event in events:
        found = list(_misfits(question, event))
        misfits.update(found)
        if all(misfit.effect != Effect.LEFT_OUT for misfit in found):
            aggregate.add(event_value(question, event.facts, event.data), event.time_us)
    return MeterPreview(
        examined=len(events),
        matched=aggregate.event_count,
        value=aggregate.quantity(),
        first=instant_of(events[0].time_us) if events else None,
        last=instant_of(events[-1].time_us) if events else None,
        misfits=sorted(misfits.items(), key=lambda item: (item[0].effect != Effect.LEFT_OUT, -item[1], item[0])),
    )


def _misfits(question: Question, event: ReadEvent) -> Iterator[Misfit]:
    look_up = lookup_of(question, event.facts, event.data)
    for field, tests in question.meter.filter.items():
        if not matches({field: tests}, look_up):
            reason = "is another value" if text_of(look_up(field)) is not None else "is missing"
            yield Misfit(f"/filter/{field}", question.path(field), reason, Effect.LEFT_OUT)
    yield from _value_misfits(question, event)
    for name, path in question.meter.group_by.items():
        if text_of(look_up(name)) is None:
            yield Misfit(f"/group_by/{name}", path, "is missing", Effect.COUNTED_WITHOUT)


def _value_misfits(question: Question, event: ReadEvent) -> Iterator[Misfit]:
    if question.meter.aggregation == Aggregation.COUNT:
        return
    effect = Effect.COUNTED_WITHOUT
    try:
        event_value(question, event.facts, event.data)
    except NoNumber:
        effect = Effect.LEFT_OUT
    look_up = lookup_of(question, event.facts, event.data)
    for path in value_paths(question.meter):
        reason = _reason(question, look_up(path))
        if reason is not None:
            yield Misfit("/value", path, reason, effect)


def _reason(question: Question, value: object) -> str | None:
    """Return why the meter cannot take the value; None if it can."""
    if question.meter.aggregation == Aggregation.UNIQUE_COUNT:
        return "is missing" if text_of(value) is None else None
    try:
        number_of(value)
    except NoNumber as reason:
        return str(reason)
    return None
