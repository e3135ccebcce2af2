"""Count stored events again: what hourly totals and odd totals should hold, from the rows themselves; pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tollkeeper.metering.dimensions import BITS, COUNTED, join_data, split_data
from tollkeeper.metering.event import KONG_REQUEST, EventRefused
from tollkeeper.metering.read import SetFacts
from tollkeeper.metering.rows import EventRow
from tollkeeper.metering.totals import HOUR_US
from tollkeeper.money import EXACT

COLUMNS = ("events", *COUNTED, "first_us", "last_us")
_places = msgspec.msgpack.Decoder(list[Any])
Counts = tuple[int, int, int, int]
NONE_COUNTED = (0, 0, 0, 0)


class Unreadable(Exception):
    """A stored row does not give an event back."""


class HourCount:
    """What the events of one set in one hour come to."""

    __slots__ = ("first_us", "last_us", "odd", "sums")

    def __init__(self, time_us: int) -> None:
        self.sums = [0, 0, 0, 0, 0]
        self.odd: dict[str, Decimal] = {}
        self.first_us = self.last_us = time_us

    def add(self, time_us: int, counts: Counts, odd: tuple[tuple[str, Decimal], ...]) -> None:
        """Count one event."""
        sums = self.sums
        sums[0] += 1
        for place, number in enumerate(counts, 1):
            sums[place] += number
        for column, amount in odd:
            self.odd[column] = EXACT.add(self.odd.get(column, Decimal(0)), amount)
        self.first_us = min(self.first_us, time_us)
        self.last_us = max(self.last_us, time_us)

    def columns(self) -> dict[str, int | Decimal]:
        """Return the columns that hourly_totals should hold, and the odd ones by name."""
        whole = dict(zip(COLUMNS, (*self.sums, self.first_us, self.last_us), strict=True))
        return {**whole, **{f"odd {column}": amount for column, amount in self.odd.items()}}


Hours = dict[tuple[int, int], HourCount]


def count_row(hours: Hours, row: EventRow, facts: SetFacts) -> None:
    """Count a row; raises Unreadable."""
    time_us, _, _, set_id, _, payload = row
    counts, odd = counts_of(facts, payload)
    key = (set_id, time_us // HOUR_US)
    cell = hours.get(key)
    if cell is None:
        cell = hours[key] = HourCount(time_us)
    cell.add(time_us, counts, odd)


def counts_of(facts: SetFacts, payload: bytes) -> tuple[Counts, tuple[tuple[str, Decimal], ...]]:
    """Return the whole numbers for the columns of COUNTED, and those that do not fit; raises Unreadable."""
    event_type, dimensions = facts.event_type, facts.dimensions
    if event_type != KONG_REQUEST or payload == b"null":
        _join(event_type, dimensions, payload)
        return NONE_COUNTED, ()
    try:
        places = _places.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreadable("the payload is no MessagePack") from None
    if places and isinstance(places[-1], bytes):
        try:
            split = split_data(event_type, _join(event_type, dimensions, payload))
        except EventRefused as refusal:
            raise Unreadable(str(refusal)) from None
        return split.counts, split.odd
    numbers = [places[place] if place < len(places) else None for place in (5, 6, 7, 4)]
    if not all(number is None or isinstance(number, int) for number in places):
        raise Unreadable("the payload holds what is no number")
    if any(
        (number is not None) != bool(facts.measured & bit) for number, bit in zip(numbers, BITS.values(), strict=True)
    ):
        raise Unreadable("the payload holds other numbers than its dimension set says")
    tokens_in, tokens_out, cached, response = (number or 0 for number in numbers)
    return (tokens_in, tokens_out, cached, response), ()


def _join(event_type: str, dimensions: Mapping[str, Any], payload: bytes) -> Any:
    try:
        return join_data(event_type, dimensions, payload)
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        raise Unreadable("the payload is no data of its type") from None
