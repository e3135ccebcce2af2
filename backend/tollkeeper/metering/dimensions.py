"""Cut an event's data into the dimensions that many events share and the payload of its own; pure.

`join_data(split)` gives back exactly the data that `split_data` was given: nothing is lost by the cut.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from tollkeeper.metering.event import KONG_REQUEST, MOST_DATA_BYTES, EventRefused, refusal_of
from tollkeeper.metering.kong_request import (
    MOST_WHOLE,
    Consumer,
    Dimensions,
    KongData,
    Model,
    Refusal,
)
from tollkeeper.metering.values import ABSENT, NoNumber, find_value, number_of

NESTED: dict[str, tuple[str, ...]] = {
    "consumer": Consumer.__struct_fields__,
    "llm": Model.__struct_fields__,
    "refused": Refusal.__struct_fields__,
    "would_refuse": Refusal.__struct_fields__,
}
FLAT = tuple(field for field in Dimensions.__struct_fields__ if field not in NESTED)
# The paths that a meter can group and filter by without reading raw events.
DIMENSION_PATHS = (
    frozenset(FLAT) | {*NESTED} | {f"{name}.{field}" for name, fields in NESTED.items() for field in fields}
)

# Numbers that nearly every kong.request has; the payload lists them by place instead of by name.
MEASURES: dict[str, tuple[str, ...]] = {
    "latency_ms": ("request", "kong", "upstream"),
    "bytes": ("request", "response"),
    "llm": ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
}

# What hourly totals count: the column, and where its number stands.
COUNTED = {
    "input_tokens": "llm.input_tokens",
    "output_tokens": "llm.output_tokens",
    "cached_tokens": "llm.cached_tokens",
    "response_bytes": "bytes.response",
}

BITS = {column: 1 << place for place, column in enumerate(COUNTED)}

NO_DIMENSIONS = Dimensions()
NO_COUNTS = (0, 0, 0, 0)
_DROPPED = frozenset(Dimensions.__struct_fields__) | MEASURES.keys()
_json = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_parse = msgspec.json.Decoder(float_hook=Decimal)
_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(list[Any])


class SetKey(msgspec.Struct, frozen=True, cache_hash=True):
    """What makes a dimension set."""

    event_type: str
    subject: str
    dimensions: Dimensions
    measured: int


class Split(NamedTuple):
    """An event's data, cut.

    `counts` are the whole numbers for the columns of COUNTED, `odd` those that do not fit; `measured` has bit n
    set if the event has a number for column n.
    """

    dimensions: Dimensions
    payload: bytes
    counts: tuple[int, int, int, int]
    odd: tuple[tuple[str, Decimal], ...]
    measured: int


def split_data(event_type: str, data: Any) -> Split:
    """Cut an event's data; raises EventRefused for a dimension of wrong type.

    The payload of a kong.request is MessagePack: [the measured numbers by place ..., the rest as JSON]; that
    of any other event is its data as JSON.
    """
    if event_type != KONG_REQUEST or data is None:
        return Split(NO_DIMENSIONS, fitting(_json.encode(data)), NO_COUNTS, (), 0)
    if not isinstance(data, dict):
        raise EventRefused("/data", "must be an object")
    dimensions = _dimensions_of(data)
    rest = {name: value for name, value in data.items() if name not in _DROPPED}
    places: list[Any] = []
    for name, fields in MEASURES.items():
        _take_measures(data, name, fields, places, rest)
    for name in ("consumer", "refused", "would_refuse"):
        if name in data:
            _keep_strangers(data, name, rest)
    return _finish(dimensions, places, rest, _odd_numbers(rest))


def _finish(
    dimensions: Dimensions, places: list[Any], rest: dict[str, Any], odd: tuple[tuple[str, Decimal], ...]
) -> Split:
    response, tokens_in, tokens_out, cached = places[4:8]
    measured = (
        (tokens_in is not None)
        | (tokens_out is not None) << 1
        | (cached is not None) << 2
        | (response is not None) << 3
    )
    for column, _ in odd:
        measured |= BITS[column]
    if rest:
        places.append(_json.encode(rest))
    else:
        while places and places[-1] is None:
            places.pop()
    counts = (tokens_in or 0, tokens_out or 0, cached or 0, response or 0)
    return Split(dimensions, fitting(_pack.encode(places)), counts, odd, measured)


def join_data(event_type: str, dimensions: Mapping[str, Any], payload: bytes) -> Any:
    """Return the data that was split; numbers with a fraction are Decimals."""
    if event_type != KONG_REQUEST or payload == b"null":
        return _parse.decode(payload)
    places = _unpack.decode(payload)
    rest = _parse.decode(places.pop()) if places and isinstance(places[-1], bytes) else {}
    joined: dict[str, Any] = {
        name: dict(value) if isinstance(value, dict) else value for name, value in dimensions.items()
    }
    for name, value in rest.items():
        joined[name] = {**joined[name], **value} if isinstance(joined.get(name), dict) else value
    numbers = iter(places)
    for name, fields in MEASURES.items():
        for field, number in zip(fields, numbers, strict=False):
            if number is not None:
                joined.setdefault(name, {})[field] = number
    return joined


def content_of(event_type: str, data: Any) -> bytes:
    """Return the canonical JSON of what must not differ between two captures of one event.

    The gateway may capture a request in two ways; the latencies that they measure can differ by a millisecond.
    """
    if type(data) is KongData:
        data = msgspec.to_builtins(data)
    if event_type == KONG_REQUEST and isinstance(data, dict):
        data = {name: value for name, value in data.items() if name != "latency_ms"}
    return _json.encode(data)


def set_digest(key: SetKey) -> bytes:
    """Return what makes a dimension set unique."""
    named = f"{key.event_type}\0{key.subject}\0{key.measured}\0".encode() + _json.encode(key.dimensions)
    return hashlib.blake2b(named, digest_size=16).digest()


def _dimensions_of(data: dict[str, Any]) -> Dimensions:
    known = {name: value for name, value in data.items() if name in FLAT}
    for name, fields in NESTED.items():
        group = data.get(name, msgspec.UNSET)
        if isinstance(group, dict):
            known[name] = {field: group[field] for field in fields if field in group}
        elif group is not msgspec.UNSET:
            known[name] = group
    try:
        dimensions = msgspec.convert(known, Dimensions)
    except msgspec.ValidationError as error:
        raise refusal_of(error, "/data") from None
    if _holds_nul(dimensions):
        raise EventRefused("/data", "holds a NUL character in a dimension")
    return dimensions


@lru_cache(maxsize=1 << 16)
def _holds_nul(dimensions: Dimensions) -> bool:
    return b"\\u0000" in _json.encode(dimensions)


def _take_measures(
    data: dict[str, Any], name: str, fields: tuple[str, ...], places: list[Any], rest: dict[str, Any]
) -> None:
    """Append the group's whole numbers to `places`; what else the group holds goes to `rest`."""
    group = data.get(name, msgspec.UNSET)
    if not isinstance(group, dict):
        places.extend(None for _ in fields)
        if group is not msgspec.UNSET and name not in NESTED:
            rest[name] = group
        return
    left = dict(group)
    for field in fields:
        number = left.get(field)
        if type(number) is int and 0 <= number <= MOST_WHOLE:
            places.append(number)
            del left[field]
        else:
            places.append(None)
    for field in NESTED.get(name, ()):
        left.pop(field, None)
    if left or (not group and name not in NESTED):
        rest[name] = left


def _keep_strangers(data: dict[str, Any], name: str, rest: dict[str, Any]) -> None:
    group = data[name]
    strangers = {} if group is None else {field: group[field] for field in group if field not in NESTED[name]}
    if strangers:
        rest[name] = strangers


def _odd_numbers(rest: dict[str, Any]) -> tuple[tuple[str, Decimal], ...]:
    if "llm" not in rest and "bytes" not in rest:
        return ()
    found: list[tuple[str, Decimal]] = []
    for column, path in COUNTED.items():
        value = find_value(rest, path)
        if value is not ABSENT:
            with suppress(NoNumber):
                found.append((column, number_of(value)))
    return tuple(found)


def fitting(payload: bytes) -> bytes:
    """Return the payload; raises EventRefused if it is too large."""
    if len(payload) > MOST_DATA_BYTES:
        raise EventRefused("/data", f"is larger than {MOST_DATA_BYTES >> 10} KiB")
    return payload
