"""Cut an event's data into the dimensions that many events share and the payload of its own; pure.

`join_data(split)` gives back exactly the data that `split_data` was given: nothing is lost by the cut.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec

from tollkeeper.metering.event import KONG_REQUEST, MOST_DATA_BYTES, EventRefused, refusal_of
from tollkeeper.metering.values import NoNumber, find_value, number_of

Name = Annotated[str, msgspec.Meta(max_length=256)]
MOST_WHOLE = 10**12


class Consumer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Kong's consumer."""

    id: Name | msgspec.UnsetType | None = msgspec.UNSET
    username: Name | msgspec.UnsetType | None = msgspec.UNSET
    custom_id: Name | msgspec.UnsetType | None = msgspec.UNSET


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which model answered."""

    provider: Name | msgspec.UnsetType | None = msgspec.UNSET
    model: Name | msgspec.UnsetType | None = msgspec.UNSET
    stream: bool | msgspec.UnsetType | None = msgspec.UNSET
    estimated: bool | msgspec.UnsetType | None = msgspec.UNSET


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why Tollkeeper refused, or would have."""

    code: Name | msgspec.UnsetType | None = msgspec.UNSET
    limit_id: Name | msgspec.UnsetType | None = msgspec.UNSET


class Dimensions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The dimensions of a kong.request."""

    route: Name | msgspec.UnsetType | None = msgspec.UNSET
    service: Name | msgspec.UnsetType | None = msgspec.UNSET
    method: Name | msgspec.UnsetType | None = msgspec.UNSET
    status: Annotated[int, msgspec.Meta(ge=0, le=999)] | msgspec.UnsetType | None = msgspec.UNSET
    origin: Name | msgspec.UnsetType | None = msgspec.UNSET
    credential: Name | msgspec.UnsetType | None = msgspec.UNSET
    consumer: Consumer | msgspec.UnsetType | None = msgspec.UNSET
    llm: Model | msgspec.UnsetType | None = msgspec.UNSET
    refused: Refusal | msgspec.UnsetType | None = msgspec.UNSET
    would_refuse: Refusal | msgspec.UnsetType | None = msgspec.UNSET


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
        return Split(NO_DIMENSIONS, _fitting(_json.encode(data)), NO_COUNTS, (), 0)
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
    found = (*places[5:8], places[4])
    odd = _odd_numbers(rest) if rest else ()
    measured = sum(bit for number, bit in zip(found, BITS.values(), strict=True) if number is not None)
    measured |= sum(BITS[column] for column, _ in odd)
    if rest:
        places.append(_json.encode(rest))
    else:
        while places and places[-1] is None:
            places.pop()
    return Split(dimensions, _fitting(_pack.encode(places)), _or_zero(found), odd, measured)


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
    if event_type == KONG_REQUEST and isinstance(data, dict):
        data = {name: value for name, value in data.items() if name != "latency_ms"}
    return _json.encode(data)


def set_digest(event_type: str, subject: str, dimensions: Dimensions, measured: int) -> bytes:
    """Return what makes a dimension set unique."""
    named = f"{event_type}\0{subject}\0{measured}\0".encode() + _json.encode(dimensions)
    return hashlib.blake2b(named, digest_size=16).digest()


def _dimensions_of(data: dict[str, Any]) -> Dimensions:
    try:
        dimensions = msgspec.convert(data, Dimensions)
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


def _or_zero(found: tuple[int | None, ...]) -> tuple[int, int, int, int]:
    tokens_in, tokens_out, cached, response = found
    return tokens_in or 0, tokens_out or 0, cached or 0, response or 0


def _odd_numbers(rest: dict[str, Any]) -> tuple[tuple[str, Decimal], ...]:
    found: list[tuple[str, Decimal]] = []
    for column, path in COUNTED.items():
        with suppress(NoNumber):
            found.append((column, number_of(find_value(rest, path))))
    return tuple(found)


def _fitting(payload: bytes) -> bytes:
    if len(payload) > MOST_DATA_BYTES:
        raise EventRefused("/data", f"is larger than {MOST_DATA_BYTES >> 10} KiB")
    return payload
