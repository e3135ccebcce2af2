"""Read the latest events of a type, without reading all that came before them."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.metering.read import ReadEvent, SetFacts, read_events, sets_by_id
from tollkeeper.metering.retention_bound import raw_from_us
from tollkeeper.metering.tables import DimensionSet, HourlyTotal
from tollkeeper.metering.totals import HOUR_US


class _Hour(NamedTuple):
    """What the hourly totals say of one hour: how many events it has, and the instants of the first and the last."""

    hour: int
    events: int
    first_us: int
    last_us: int


def latest_events(session: Session, event_type: str, limit: int) -> list[ReadEvent]:
    """Return the last `limit` events of a type that are there, by time, source and id; fewer if there are no more.

    Hourly totals say where they are, so a type that is rare, or silent for months, is found as fast as another.
    """
    found: list[ReadEvent] = []
    for hour in _hours_back(session, event_type):
        sets = _sets_in(session, event_type, hour.hour)
        found = _latest_of(session, sets, hour, limit - len(found)) + found
        if len(found) >= limit:
            break
    return found[-limit:]


def _hours_back(session: Session, event_type: str) -> Iterator[_Hour]:
    """Yield the hours with events of the type, the latest first, as far back as raw events are all there."""
    raw_us = raw_from_us(session)
    of_type = (
        select(HourlyTotal.hour)
        .join(DimensionSet, DimensionSet.id == HourlyTotal.set_id)
        .where(DimensionSet.event_type == event_type)
    )
    if raw_us is not None:
        of_type = of_type.where(HourlyTotal.hour >= raw_us // HOUR_US)
    facts = of_type.with_only_columns(
        func.sum(HourlyTotal.events), func.min(HourlyTotal.first_us), func.max(HourlyTotal.last_us)
    )
    latest = of_type.order_by(HourlyTotal.hour.desc()).limit(1)
    hour = session.scalar(latest)
    while hour is not None:
        events, first_us, last_us = session.execute(facts.where(HourlyTotal.hour == hour)).one()
        yield _Hour(hour, int(events), first_us, last_us)
        hour = session.scalar(latest.where(HourlyTotal.hour < hour))


def _sets_in(session: Session, event_type: str, hour: int) -> Mapping[int, SetFacts]:
    query = (
        select(DimensionSet.id)
        .join(HourlyTotal, HourlyTotal.set_id == DimensionSet.id)
        .where(DimensionSet.event_type == event_type, HourlyTotal.hour == hour)
        .distinct()
    )
    return sets_by_id(session, session.scalars(query).all())


def _latest_of(session: Session, sets: Mapping[int, SetFacts], hour: _Hour, wanted: int) -> list[ReadEvent]:
    """Read backwards in stretches that hold twice what is wanted, were the events spread evenly over the hour."""
    stretch_us = max(1, (hour.last_us + 1 - hour.first_us) * 2 * wanted // hour.events)
    found: list[ReadEvent] = []
    end_us = hour.last_us + 1
    while len(found) < wanted and end_us > hour.first_us:
        start_us = max(hour.first_us, end_us - stretch_us)
        found = list(read_events(session, sets, start_us, end_us)) + found
        end_us, stretch_us = start_us, stretch_us * 2
    return found
