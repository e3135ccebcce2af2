"""The gateway's own event as it comes, decoded straight into types; pure.

Whatever has a field more, or one of another type, or a null, is read the general way instead (event.py) and is
stored just the same.
"""

from typing import Annotated

import msgspec

Name = Annotated[str, msgspec.Meta(max_length=256)]
MOST_WHOLE = 10**12
Whole = Annotated[int, msgspec.Meta(ge=0, le=MOST_WHOLE)]
Status = Annotated[int, msgspec.Meta(ge=0, le=999)]
UNSET = msgspec.UNSET


class Consumer(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Kong's consumer."""

    id: Name | msgspec.UnsetType | None = UNSET
    username: Name | msgspec.UnsetType | None = UNSET
    custom_id: Name | msgspec.UnsetType | None = UNSET


class Model(msgspec.Struct, frozen=True, gc=False):
    """Which model answered."""

    provider: Name | msgspec.UnsetType | None = UNSET
    model: Name | msgspec.UnsetType | None = UNSET
    stream: bool | msgspec.UnsetType | None = UNSET
    estimated: bool | msgspec.UnsetType | None = UNSET


class Refusal(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Why Tollkeeper refused, or would have."""

    code: Name | msgspec.UnsetType | None = UNSET
    limit_id: Name | msgspec.UnsetType | None = UNSET


class Dimensions(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """The dimensions of a kong.request."""

    route: Name | msgspec.UnsetType | None = UNSET
    service: Name | msgspec.UnsetType | None = UNSET
    method: Name | msgspec.UnsetType | None = UNSET
    status: Status | msgspec.UnsetType | None = UNSET
    origin: Name | msgspec.UnsetType | None = UNSET
    credential: Name | msgspec.UnsetType | None = UNSET
    consumer: Consumer | msgspec.UnsetType | None = UNSET
    llm: Model | msgspec.UnsetType | None = UNSET
    refused: Refusal | msgspec.UnsetType | None = UNSET
    would_refuse: Refusal | msgspec.UnsetType | None = UNSET


class Latencies(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Milliseconds."""

    request: Whole | None = None
    kong: Whole | None = None
    upstream: Whole | None = None


class Sizes(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Bytes."""

    request: Whole | None = None
    response: Whole | None = None


class LlmCall(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A call of a language model: what `Model` has, and what it used."""

    provider: Name | msgspec.UnsetType = UNSET
    model: Name | msgspec.UnsetType = UNSET
    input_tokens: Whole | None = None
    output_tokens: Whole | None = None
    cached_tokens: Whole | None = None
    reasoning_tokens: Whole | None = None
    cost: str | None = None
    stream: bool | msgspec.UnsetType = UNSET
    estimated: bool | msgspec.UnsetType = UNSET


class KongData(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """The data of a kong.request."""

    route: Name | msgspec.UnsetType = UNSET
    service: Name | msgspec.UnsetType = UNSET
    method: Name | msgspec.UnsetType = UNSET
    status: Status | msgspec.UnsetType = UNSET
    origin: Name | msgspec.UnsetType = UNSET
    consumer: Consumer | msgspec.UnsetType = UNSET
    credential: Name | msgspec.UnsetType = UNSET
    latency_ms: Latencies | None = None
    bytes: Sizes | None = None
    llm: LlmCall | None = None
    refused: Refusal | msgspec.UnsetType = UNSET
    would_refuse: Refusal | msgspec.UnsetType = UNSET
