"""An event as it comes in: CloudEvents 1.0, decoded and checked one by one; pure."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from tollkeeper.errors import TollkeeperError
from tollkeeper.metering.kong_request import KongData
from tollkeeper.metering.split_body import depth_of, split_body, weight_of

KONG_REQUEST = "kong.request"
ANONYMOUS = "anonymous"
MOST_EVENTS = 10_000
MOST_DATA_BYTES = 64 << 10
MOST_AHEAD = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EARLIEST_US = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH) // MICROSECOND
MOST_DEPTH = 64
NUL = b"\\u0000"

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One CloudEvent; `time` is RFC 3339 text or an aware datetime. Extension attributes are not kept."""

    specversion: str | msgspec.UnsetType = msgspec.UNSET
    id: Word
    source: Word
    type: Word
    subject: Word | None = None
    time: Any = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Any = None


class KongEvent(Event, kw_only=True, forbid_unknown_fields=True):
    """A kong.request of known shape; what is decoded into it holds no NUL and no key twice."""

    specversion: Literal["1.0"]
    type: Literal["kong.request"]
    time: str
    data: KongData


class Identified(msgspec.Struct):
    """What we look for in an event that is refused."""

    id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that was refused; `error` begins with the JSON pointer of what is wrong."""

    index: int
    id: str | None
    error: str


class TooManyEvents(TollkeeperError):
    """The request holds more events than we take at once."""

    code = "too_many_events"


class EventRefused(Exception):
    """One event is wrong: a JSON pointer and what to mend."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)


class _Spelling(threading.local):
    """How many numbers this thread has read that are written back longer than they came: 1e5 as 1E+5."""

    lengthened = 0


_spelling = _Spelling()


def _exact(text: str) -> Decimal:
    number = Decimal(text)
    _spelling.lengthened += len(str(number)) > len(text)
    return number


_kong_events = msgspec.json.Decoder(list[KongEvent])
_kong_event = msgspec.json.Decoder(KongEvent)
_event = msgspec.json.Decoder(Event, float_hook=_exact)
_encoder = msgspec.json.Encoder(decimal_format="number")


def _hold_nothing(_: int) -> None:
    """For who counts no memory."""


def decode_events(
    body: bytes, *, hold: Callable[[int], None] = _hold_nothing
) -> tuple[list[tuple[int, Event]], list[Rejection]]:
    """Split a JSON object or array into events with their index and those that cannot be read, with the reason.

    Raises MalformedBody if the body is no JSON object or array as a whole, TooManyEvents. `hold` is told how many
    bytes of usual text take as much memory as this one, before it is read; it may raise.
    """
    known = _decode_known(body)
    if known is not None:
        return list(enumerate(known)), []
    hold(weight_of(body))
    elements = split_body(body, most=MOST_EVENTS + 1)
    if len(elements) > MOST_EVENTS:
        raise TooManyEvents(f"the request holds more than {MOST_EVENTS} events; send them in parts")
    events: list[tuple[int, Event]] = []
    rejected: list[Rejection] = []
    for index, raw in enumerate(elements):
        try:
            events.append((index, read_event(raw)))
        except EventRefused as refusal:
            rejected.append(Rejection(index, _id_of(raw), str(refusal)))
    return events, rejected


def _decode_known(body: bytes) -> list[KongEvent] | None:
    """Decode an array of the gateway's own events at one go; None if anything in it asks for a closer look."""
    if NUL in body:
        return None
    try:
        known = _kong_events.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return known if len(known) <= MOST_EVENTS and _is_faithful(known, body) else None


def read_event(element: bytes | msgspec.Raw) -> Event:
    """Decode one event; raises EventRefused naming the wrong field."""
    raw = bytes(memoryview(element))
    if b'"kong.request"' in raw and NUL not in raw:
        try:
            known = _kong_event.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _read_any(raw)
        if _is_faithful(known, raw):
            return known
    return _read_any(raw)


def _read_any(raw: bytes) -> Event:
    if raw.count(b"{") + raw.count(b"[") > MOST_DEPTH and depth_of(raw) > MOST_DEPTH:
        raise EventRefused("/data", f"is nested deeper than {MOST_DEPTH} levels")
    lengthened = _spelling.lengthened
    try:
        event = _event.decode(raw)
    except msgspec.ValidationError as error:
        raise refusal_of(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, ArithmeticError) as error:
        raise EventRefused("", f"is no JSON: {error}") from None
    if _spelling.lengthened != lengthened or not _is_faithful(event, raw):
        _refuse_duplicate_keys(raw)
    return event


def _is_faithful(event: Event | list[KongEvent], raw: bytes) -> bool:
    """Say whether what was read, written again compactly, is as long as it came: then no key was there twice.

    A text with blanks, nulls or foreign spellings is longer, too: it takes the slower look. What is written back
    longer than it came could make up for a lost key; of typed events nothing is.
    """
    return len(_encoder.encode(event)) == len(raw)


def microseconds_of(instant: datetime) -> int:
    """Return the microseconds since 1970."""
    return (instant - EPOCH) // MICROSECOND


def instant_of(time_us: int) -> datetime:
    """Return the instant of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=time_us)


def latest_us(now: datetime) -> int:
    """Return the latest time that an event may have."""
    return microseconds_of(now + MOST_AHEAD)


def time_us_of(event: Event, *, latest: int) -> int | None:
    """Return the event's time in microseconds since 1970, None if it has none; raises EventRefused."""
    if event.time is None:
        return None
    try:
        instant = msgspec.convert(event.time, datetime)
        aware = instant.tzinfo is not None
    except msgspec.ValidationError:
        aware = False
    if not aware:
        raise EventRefused("/time", "is no RFC 3339 time with an offset; write it like 2026-11-22T07:29:57.926Z")
    time_us = microseconds_of(instant)
    if time_us < EARLIEST_US:
        raise EventRefused("/time", "is before the year 1")
    if time_us > latest:
        raise EventRefused("/time", "is more than 5 minutes in the future")
    return time_us


def check_event(event: Event) -> None:
    """Refuse what decoding cannot: another version, NUL characters, data that is too large."""
    if type(event) is KongEvent:
        return
    if isinstance(event.specversion, str) and event.specversion != "1.0":
        raise EventRefused("/specversion", f"must be '1.0', not {event.specversion[:20]!r}")
    for path, text in (
        ("/id", event.id),
        ("/source", event.source),
        ("/type", event.type),
        ("/subject", event.subject),
    ):
        if text is not None and "\x00" in text:
            raise EventRefused(path, "holds a NUL character")


def refusal_of(error: msgspec.ValidationError, root: str = "") -> EventRefused:
    """Turn msgspec's "Expected `str`, got `int` - at `$.route`" into a JSON pointer below root and a message."""
    text, _, location = str(error).partition(" - at `$")
    parts = location.rstrip("`").replace("[", ".").replace("]", "").split(".")
    return EventRefused(root + "".join(f"/{part}" for part in parts if part), text[:1].lower() + text[1:])


def _refuse_duplicate_keys(raw: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) != len(pairs):
            twice = next(name for place, (name, _) in enumerate(pairs) if name in {n for n, _ in pairs[:place]})
            raise EventRefused("", f"has the key {twice[:50]!r} twice")
        return names

    try:
        json.loads(raw, object_pairs_hook=unique, parse_int=str, parse_float=str)
    except ValueError as error:
        # Attributes that are not kept are skipped by the decoder, their text unread.
        raise EventRefused("", f"is no JSON: {error}") from None


def _id_of(raw: bytes | msgspec.Raw) -> str | None:
    try:
        found = msgspec.json.decode(raw, type=Identified).id
    except (ValueError, RecursionError):
        return None
    return None if found is None else found[:256]
