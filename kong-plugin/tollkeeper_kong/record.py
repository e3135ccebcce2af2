"""Exchange -> usage record: one CloudEvent per request, as in docs/wire-contract.md. Pure.

Both capture modes come through here, so the same request makes the same record, with the same (source, id).
"""

from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from functools import lru_cache

import msgspec
from msgspec import UNSET, UnsetType

from tollkeeper_kong.exchange import (
    MOST_COUNT,
    NOTHING,
    Consumer,
    Exchange,
    KongResponse,
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


class RecordLatency(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Milliseconds; a measurement, not part of what identifies the record."""

    request: int | None = None
    kong: int | None = None
    upstream: int | None = None


class RecordBytes(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Bytes on the client's wire, headers included."""

    request: int | None = None
    response: int | None = None


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


class RecordData(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What is known of the request; what is not known is left out."""

    route: str | None = None
    service: str | None = None
    method: str | None = None
    status: int | None = None
    origin: str | None = None
    consumer: Consumer | None = None
    credential: str | None = None
    latency_ms: RecordLatency | None = None
    bytes: RecordBytes | None = None
    llm: RecordLlm | None = None
    refused: RecordRefusal | None = None
    would_refuse: RecordRefusal | None = None


class UsageRecord(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="specversion", tag="1.0"):
    """A CloudEvent."""

    id: str
    source: str
    type: str
    subject: str
    time: str | None
    data: RecordData


_encode = msgspec.json.Encoder().encode


def usage_record(exchange: Exchange, *, node: str, llm: LlmUsage | None = None) -> bytes:
    """Write the usage record of a request as compact JSON.

    `llm` is what the caller read of the answer's body; it goes before what the logs say. The request is attributed to
    whom `access` wrote into the log, else to its consumer.
    """
    request, response, consumer = exchange.request, exchange.response, exchange.consumer
    route, service, origin, published = exchange.route, exchange.service, exchange.source, exchange.tollkeeper
    credential, latencies = exchange.credential, exchange.latencies
    assert request.id, "exchange_from_serialize refuses a request without an id"
    # this is most of what the plugin costs: fields by position, no call and no copy for what most requests do not have
    data = RecordData(
        (route.name or route.id or None) if route else None,
        (service.name or service.id or None) if service else None,
        request.method[:LONGEST_METHOD] if request.method else None,
        response.status if response else None,
        origin or None,
        (consumer if consumer.username != "" != consumer.custom_id else _without_empty(consumer))
        if consumer and consumer.id
        else None,
        (credential.id or None) if credential else None,
        _latency(latencies.request, latencies.kong, latencies.proxy) if latencies else None,
        RecordBytes(request.size, response.size if response else None),
        None if llm is None and published is None and exchange.ai is NOTHING else _llm(exchange, llm),
        _refusal(response) if origin == "kong" and response else None,
        _would_refuse(published) if published else None,
    )
    subject = published.subject if published else None
    if not subject:
        subject = f"consumer:{consumer.id}" if consumer and consumer.id else ANONYMOUS
    time = _time(exchange.started_at)
    return _encode(UsageRecord(request.id, f"kong/{node}", "kong.request", subject, time, data))


def plain_decimal(value: Number) -> str | None:
    """Write a cost without an exponent and without the noise of binary floats; None for what is no cost."""
    amount = Decimal(str(value))
    if not amount.is_finite() or not 0 <= amount < 10**12:
        return None
    return format(_COST_DIGITS.plus(amount).normalize(), "f")


def _time(started_at: Number | None) -> str | None:
    if started_at is None or not 0 <= started_at <= _LAST_INSTANT_MS:
        return None
    instant = int(started_at)
    return _second(instant // 1000) + _MILLISECONDS[instant % 1000]


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """Write a second, which thousands of requests share."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")


@lru_cache(maxsize=4096)
def _latency(request: Number | None, kong: Number | None, upstream: Number | None) -> RecordLatency:
    """Return the same object for the few small numbers that nearly all requests have."""
    return RecordLatency(_whole(request), _whole(kong), _whole(upstream))


def _whole(value: Number | None) -> int | None:
    return None if value is None or not 0 <= value < MOST_COUNT else int(value)


def _without_empty(consumer: Consumer) -> Consumer:
    return Consumer(consumer.id, consumer.username or None, consumer.custom_id or None)


def _refusal(response: KongResponse) -> RecordRefusal | None:
    """Read our own refusal from the header of Kong's own answer; an upstream cannot forge it: its source is another."""
    if response.headers is None or response.headers.refused is None:
        return None
    code, _, limit_id = header_text(response.headers.refused).partition(" ")
    return RecordRefusal(code, limit_id if limit_id not in {"", "-"} else UNSET) if code else None


def _would_refuse(published: Published) -> RecordRefusal | None:
    shadow = published.would_refuse
    if shadow is None or not shadow.code:
        return None
    return RecordRefusal(shadow.code, shadow.limit_id or UNSET)


def _llm(exchange: Exchange, read: LlmUsage | None) -> RecordLlm | None:
    logged, cost = kong_llm(exchange.ai, stream=_streamed(exchange))
    exact = read or our_llm(exchange.tollkeeper)
    if exact is None or (exact.estimated and logged and logged.output_tokens):  # of two estimates, Kong saw more
        return _record_llm(logged, cost) if logged else None
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
