"""Exchange -> usage record: one CloudEvent per request, as in docs/wire-contract.md. Pure.

Both capture modes come through here, so the same request makes the same record, with the same (source, id).
"""

from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from functools import lru_cache

import msgspec
from msgspec import UNSET, UnsetType

from tollkeeper_kong.exchange import (
    NOTHING,
    Consumer,
    Exchange,
    KongResponse,
    Latencies,
    Number,
    Published,
    header_text,
)
from tollkeeper_kong.kong_ai import kong_llm, our_llm
from tollkeeper_kong.llm import LlmUsage, is_stream

ANONYMOUS = "anonymous"
LONGEST_METHOD = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_INSTANT_MS = 253402300799999  # the end of the year 9999
_MILLISECONDS = [f".{number:03d}Z" for number in range(1000)]
_COST_DIGITS = Context(prec=12)  # Kong computes cost in binary floats: 3.734999999999999e-05 means 0.00003735


class RecordConsumer(msgspec.Struct, frozen=True, gc=False):
    """Whom Kong authenticated."""

    id: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    custom_id: str | UnsetType = UNSET


class RecordLatency(msgspec.Struct, frozen=True, gc=False):
    """Milliseconds; a measurement, not part of what identifies the record."""

    request: int | UnsetType = UNSET
    kong: int | UnsetType = UNSET
    upstream: int | UnsetType = UNSET


class RecordBytes(msgspec.Struct, frozen=True, gc=False):
    """Bytes on the client's wire, headers included."""

    request: int | UnsetType = UNSET
    response: int | UnsetType = UNSET


class RecordLlm(msgspec.Struct, frozen=True, gc=False):
    """What an LLM call used."""

    provider: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    input_tokens: int | UnsetType = UNSET
    output_tokens: int | UnsetType = UNSET
    cached_tokens: int | UnsetType = UNSET
    reasoning_tokens: int | UnsetType = UNSET
    cost: str | UnsetType = UNSET
    stream: bool = False
    estimated: bool = False


class RecordRefusal(msgspec.Struct, frozen=True, gc=False):
    """Why Tollkeeper refused, or would have."""

    code: str
    limit_id: str | UnsetType = UNSET


class RecordData(msgspec.Struct, frozen=True, gc=False):
    """What is known of the request; what is not known is left out."""

    route: str | UnsetType = UNSET
    service: str | UnsetType = UNSET
    method: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    origin: str | UnsetType = UNSET
    consumer: RecordConsumer | UnsetType = UNSET
    credential: str | UnsetType = UNSET
    latency_ms: RecordLatency | UnsetType = UNSET
    bytes: RecordBytes | UnsetType = UNSET
    llm: RecordLlm | UnsetType = UNSET
    refused: RecordRefusal | UnsetType = UNSET
    would_refuse: RecordRefusal | UnsetType = UNSET


class UsageRecord(msgspec.Struct, frozen=True, gc=False):
    """A CloudEvent."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str | UnsetType
    data: RecordData


_encode = msgspec.json.Encoder().encode


def usage_record(exchange: Exchange, *, node: str, llm: LlmUsage | None = None, subject: str | None = None) -> bytes:
    """Write the usage record of a request as compact JSON.

    `llm` is what the caller read of the answer's body; it goes before what the logs say. `subject` is whom the request
    is attributed to, where that is neither its consumer nor what `access` wrote into the log.
    """
    request, response, consumer = exchange.request, exchange.response, exchange.consumer
    route, service, origin, published = exchange.route, exchange.service, exchange.source, exchange.tollkeeper
    assert request.id, "exchange_from_serialize refuses a request without an id"
    # this is most of what the plugin costs: fields by position, no call for what most requests do not have
    data = RecordData(
        ((route.name or route.id or UNSET) if route else UNSET),
        ((service.name or service.id or UNSET) if service else UNSET),
        request.method[:LONGEST_METHOD] if request.method else UNSET,
        _whole(response.status) if response else UNSET,
        origin or UNSET,
        RecordConsumer(consumer.id, consumer.username or UNSET, consumer.custom_id or UNSET)
        if consumer and consumer.id
        else UNSET,
        (exchange.credential and exchange.credential.id) or UNSET,
        _latency(exchange.latencies),
        RecordBytes(_whole(request.size), _whole(response.size) if response else UNSET),
        UNSET if llm is None and published is None and exchange.ai is NOTHING else _llm(exchange, llm),
        _refusal(response) if origin == "kong" and response else UNSET,
        _would_refuse(published) if published else UNSET,
    )
    subject = subject or (published and published.subject) or subject_of(consumer)
    time = _time(exchange.started_at)
    return _encode(UsageRecord("1.0", request.id, f"kong/{node}", "kong.request", subject, time, data))


def subject_of(consumer: Consumer | None) -> str:
    """Return whom the event is attributed to."""
    return f"consumer:{consumer.id}" if consumer and consumer.id else ANONYMOUS


def plain_decimal(value: Number) -> str | None:
    """Write a cost without an exponent and without the noise of binary floats; None for what is no cost."""
    amount = Decimal(str(value))
    if not amount.is_finite() or not 0 <= amount < 10**12:
        return None
    return format(_COST_DIGITS.plus(amount).normalize(), "f")


def _time(started_at: Number | None) -> str | UnsetType:
    if started_at is None or not 0 <= started_at <= _LAST_INSTANT_MS:
        return UNSET
    seconds, milliseconds = divmod(int(started_at), 1000)
    return _second(seconds) + _MILLISECONDS[milliseconds]


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """Write a second, which thousands of requests share."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")


def _whole(value: Number | None) -> int | UnsetType:
    if type(value) is int:
        return value if 0 <= value < 10**18 else UNSET
    return UNSET if value is None or not 0 <= value < 10**18 else int(value)


def _latency(latencies: Latencies | None) -> RecordLatency | UnsetType:
    return UNSET if latencies is None else _shared_latency(latencies.request, latencies.kong, latencies.proxy)


@lru_cache(maxsize=4096)
def _shared_latency(request: Number | None, kong: Number | None, upstream: Number | None) -> RecordLatency:
    """Return the same object for the few small numbers that nearly all requests have."""
    return RecordLatency(_whole(request), _whole(kong), _whole(upstream))


def _refusal(response: KongResponse) -> RecordRefusal | UnsetType:
    """Read our own refusal from the header of Kong's own answer; an upstream cannot forge it: its source is another."""
    if response.headers is None or response.headers.refused is None:
        return UNSET
    code, _, limit_id = header_text(response.headers.refused).partition(" ")
    return RecordRefusal(code, limit_id if limit_id not in {"", "-"} else UNSET) if code else UNSET


def _would_refuse(published: Published) -> RecordRefusal | UnsetType:
    shadow = published.would_refuse
    if shadow is None or not shadow.code:
        return UNSET
    return RecordRefusal(shadow.code, shadow.limit_id or UNSET)


def _llm(exchange: Exchange, read: LlmUsage | None) -> RecordLlm | UnsetType:
    logged, cost = kong_llm(exchange.ai, stream=_streamed(exchange))
    exact = read or our_llm(exchange.tollkeeper)
    if exact is None or (exact.estimated and logged and logged.output_tokens):  # of two estimates, Kong saw more
        return _record_llm(logged, cost) if logged else UNSET
    if logged:
        cost = None if _counts(exact) != _counts(logged) else cost  # Kong's cost is of the counts that it saw
        exact = msgspec.structs.replace(
            exact, provider=logged.provider or exact.provider, model=exact.model or logged.model
        )
    return _record_llm(exact, cost)


def _counts(usage: LlmUsage) -> tuple[int | None, int | None]:
    return usage.input_tokens, usage.output_tokens


def _streamed(exchange: Exchange) -> bool:
    headers = exchange.response.headers if exchange.response else None
    return headers is not None and is_stream(header_text(headers.content_type))


def _record_llm(usage: LlmUsage, cost: Number | None) -> RecordLlm:
    counted = usage.input_tokens is not None or usage.output_tokens is not None
    unknown = 0 if counted else UNSET  # Kong before 3.11 does not say how much was cached: the contract has 0
    return RecordLlm(
        provider=usage.provider or UNSET,
        model=usage.model or UNSET,
        input_tokens=_known(usage.input_tokens, UNSET),
        output_tokens=_known(usage.output_tokens, UNSET),
        cached_tokens=_known(usage.cached_tokens, unknown),
        reasoning_tokens=_known(usage.reasoning_tokens, unknown),
        cost=UNSET if cost is None else plain_decimal(cost) or UNSET,
        stream=usage.stream,
        estimated=usage.estimated,
    )


def _known(count: int | None, otherwise: int | UnsetType) -> int | UnsetType:
    return otherwise if count is None else count
