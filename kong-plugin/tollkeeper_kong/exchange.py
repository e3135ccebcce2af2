"""What we read of a request: a narrow, typed view of the JSON that `kong.log.serialize()` writes.

Only the fields named here are ever looked at. Request headers, query strings, URLs and bodies have no field, so they
cannot reach a usage record, whatever a client puts into them.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, get_args

import msgspec

Number = int | float
MOST_COUNT = 10**18
Count = Annotated[int, msgspec.Meta(ge=0, lt=MOST_COUNT)]
"""A status or a number of bytes. What is no such number is left out; a fraction is cut off."""
HeaderValue = str | list[str] | bool
NOTHING = msgspec.Raw()


class NotAnExchange(ValueError):
    """The text is not what Kong writes for an HTTP request: no JSON object, or one without `request.id`."""


class KongRequest(msgspec.Struct, frozen=True, gc=False):
    """`request`: the id is nginx's `$request_id`, the same in every capture of this request."""

    id: str | None = None
    method: str | None = None
    size: Count | None = None


class AnswerHeaders(msgspec.Struct, frozen=True, gc=False, rename={"content_type": "content-type"}):
    """The two answer headers that a record depends on; a header that came twice is a list."""

    content_type: HeaderValue | None = None
    refused: HeaderValue | None = msgspec.field(default=None, name="x-tollkeeper-refused")


class KongResponse(msgspec.Struct, frozen=True, gc=False):
    """`response`: what the client got."""

    status: Count | None = None
    size: Count | None = None
    headers: AnswerHeaders | None = None


class Latencies(msgspec.Struct, frozen=True, gc=False):
    """`latencies` in milliseconds; `proxy` is -1 when no upstream answered."""

    request: Number | None = None
    kong: Number | None = None
    proxy: Number | None = None


class Entity(msgspec.Struct, frozen=True, gc=False):
    """A route, service or credential: its id and, where it has one, its name."""

    id: str | None = None
    name: str | None = None


class Consumer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`consumer`: absent when nobody was authenticated. It stands in the record as it came."""

    id: str | None = None
    username: str | None = None
    custom_id: str | None = None


class WouldRefuse(msgspec.Struct, frozen=True, gc=False):
    """What shadow mode would have done."""

    code: str | None = None
    limit_id: str | None = None


class Published(msgspec.Struct, frozen=True):
    """`tollkeeper`: what our own parts put into the log by `kong.log.set_serialize_value`."""

    llm: msgspec.Raw = NOTHING
    would_refuse: WouldRefuse | None = None
    subject: str | None = None
    """Whom `access` attributed the request to, where that is not its consumer."""


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """One request as Kong logged it. `ai` stays undecoded: most requests have none."""

    request: KongRequest
    response: KongResponse | None = None
    latencies: Latencies | None = None
    route: Entity | None = None
    service: Entity | None = None
    consumer: Consumer | None = None
    credential: Entity | None = msgspec.field(default=None, name="authenticated_entity")
    source: str | None = None
    started_at: Number | None = None
    ai: msgspec.Raw = NOTHING
    tollkeeper: Published | None = None


_decode = msgspec.json.Decoder(Exchange).decode


def exchange_from_serialize(text: str | bytes) -> Exchange:
    """Read the JSON of `kong.log.serialize()`, of any Kong from 3.6 on.

    Bytes that are not UTF-8 (they come as lone surrogates from the socket) and fields of an unexpected type never
    lose the record: the field is left out. Raises NotAnExchange when there is no request to speak of.
    """
    try:
        try:
            exchange = _decode(text)
        except (msgspec.DecodeError, UnicodeError):
            exchange = _read_leniently(_clean(text))
    except RecursionError:
        raise NotAnExchange("is nested deeper than Kong writes (1,000)") from None
    if not exchange.request.id:
        raise NotAnExchange("/request/id: is missing; Kong writes it since 3.5")
    return exchange


def header_text(value: HeaderValue | None) -> str:
    """Return a header as text: the first of several; an empty one (`true` in Kong) as ''."""
    if isinstance(value, list):
        return value[0] if value else ""
    return value if isinstance(value, str) else ""


def _clean(text: str | bytes) -> bytes:
    """Replace what is not UTF-8, so that one hostile header cannot make a request unreadable.

    The socket's unpacker hands such bytes on as surrogates (PEP 383). They are turned back first: a file holds the
    bytes themselves, and both captures must come to the same record.
    """
    return (_bytes_of(text) if isinstance(text, str) else text).decode("utf-8", "replace").encode()


def _bytes_of(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that are no bytes: not from Kong
        return text.encode("utf-8", "surrogatepass")


def _read_leniently(text: bytes) -> Exchange:
    with suppress(msgspec.DecodeError):
        return _decode(text)
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:  # no JSON, or a number that is too large for any
        raise NotAnExchange(f"cannot be read as JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("request"), dict):
        raise NotAnExchange("/request: is missing or no object")
    exchange: Exchange = _project(Exchange, found)
    return exchange


def _project(shape: Any, found: Mapping[str, Any]) -> Any:
    """Build a struct from what fits; what does not fit counts as absent."""
    fitting = {}
    for field in msgspec.structs.fields(shape):
        value = found.get(field.encode_name)
        kind = next((option for option in (field.type, *get_args(field.type)) if _is_struct(option)), None)
        if isinstance(value, dict) and kind is not None:
            fitting[field.name] = _project(kind, value)
        elif value is not None and kind is None:
            _keep_if_it_fits(fitting, field, value)
    return shape(**fitting)


def _keep_if_it_fits(fitting: dict[str, Any], field: msgspec.structs.FieldInfo, value: object) -> None:
    if field.type is msgspec.Raw:
        fitting[field.name] = msgspec.Raw(msgspec.json.encode(value))
        return
    whole = int(value) if isinstance(value, float) and abs(value) < MOST_COUNT else None  # Kong's numbers are doubles
    for candidate in (value, whole):
        with suppress(msgspec.ValidationError):
            fitting[field.name] = msgspec.convert(candidate, field.type)
            return


def _is_struct(option: object) -> bool:
    return isinstance(option, type) and issubclass(option, msgspec.Struct)
