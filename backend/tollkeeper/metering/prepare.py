"""Prepare events for storing: check, cut, and drop what the batch itself holds twice. Pure, before any transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import NamedTuple

import msgspec

from tollkeeper.metering.cut import Cut, cut_event
from tollkeeper.metering.dimensions import content_of
from tollkeeper.metering.event import (
    EARLIEST_US,
    EPOCH,
    MICROSECOND,
    Event,
    EventRefused,
    KongEvent,
    Rejection,
    check_event,
    latest_us,
    time_us_of,
)

CONFLICT = "/id: an event with this source and id is stored with another content"
TIME_CONFLICT = "/time: an event with this source and id came in this request with another time"


class Prepared(NamedTuple):
    """An event that is right in itself, cut for storing."""

    position: int
    event: Event
    time_us: int | None
    cut: Cut


@dataclass(frozen=True, slots=True)
class Preparation:
    """A batch before it is stored: the first of each (source, id), what was refused, and how many were repeats."""

    prepared: Sequence[Prepared]
    rejected: tuple[Rejection, ...]
    repeats: int


def prepare_events(events: Sequence[Event], *, now: datetime) -> Preparation:
    """Check and cut events; refuse those that are wrong or that differ from an earlier one of the same id."""
    rejected: list[Rejection] = []
    latest = latest_us(now)
    prepared = _prepare_known(events, latest)
    if prepared is None:
        prepared = _prepare_each(events, rejected, latest)
    unique, repeats = _drop_repeats(prepared, rejected)
    return Preparation(unique, tuple(rejected), repeats)


def _prepare_known(events: Sequence[Event], latest: int) -> list[Prepared] | None:
    """Prepare events that are all of the gateway's own kind; None if one of them asks for a closer look."""
    if set(map(type, events)) != {KongEvent}:
        return None
    try:
        instants = msgspec.convert([event.time for event in events], list[datetime])
        times = [(instant - EPOCH) // MICROSECOND for instant in instants]
        cuts = [cut_event(event) for event in events]
    except (msgspec.ValidationError, TypeError, EventRefused):
        return None  # a time that is none or has no offset; data that is too large
    if min(times) < EARLIEST_US or max(times) > latest:
        return None
    return list(map(tuple.__new__, repeat(Prepared), zip(range(len(events)), events, times, cuts, strict=True)))


def _prepare_each(events: Sequence[Event], rejected: list[Rejection], latest: int) -> list[Prepared]:
    prepared = []
    for index, event in enumerate(events):
        try:
            check_event(event)
            prepared.append(Prepared(index, event, time_us_of(event, latest=latest), cut_event(event)))
        except EventRefused as refusal:
            rejected.append(Rejection(index, event.id, str(refusal)))
    return prepared


def _drop_repeats(prepared: list[Prepared], rejected: list[Rejection]) -> tuple[list[Prepared], int]:
    """Keep the first of each (source, id); count its repeats, reject those that differ."""
    if len({(one.event.source, one.event.id) for one in prepared}) == len(prepared):
        return prepared, 0
    first: dict[tuple[str, str], Prepared] = {}
    repeats = 0
    for one in prepared:
        earlier = first.setdefault((one.event.source, one.event.id), one)
        if earlier is one:
            continue
        if earlier.time_us != one.time_us:
            rejected.append(Rejection(one.position, one.event.id, TIME_CONFLICT))
        elif earlier.cut.set_key != one.cut.set_key or content_of_prepared(earlier) != content_of_prepared(one):
            rejected.append(Rejection(one.position, one.event.id, CONFLICT))
        else:
            repeats += 1
    return list(first.values()), repeats


def content_of_prepared(one: Prepared) -> bytes:
    """Return what two captures of the event must agree in."""
    return content_of(one.event.type, one.event.data)
