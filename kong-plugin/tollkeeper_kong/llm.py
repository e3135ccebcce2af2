"""Read token usage from the answers of LLM providers, in one convention.

`input_tokens` includes what the provider read from or wrote to its prompt cache, `output_tokens` includes reasoning.
Providers differ: Anthropic and Bedrock leave cached tokens out of their input count, Gemini leaves thoughts out of its
output count, OpenAI, Mistral and Cohere follow the convention already.
"""

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

MOST_TOKENS = 10**12
LONGEST_NAME = 256
MOST_UNPACKED_BYTES = 8 * 1024 * 1024  # a bomb costs some 10 ms and no tokens

_FAMILIES = (  # OpenAI's format is spoken by many: the model's name tells who answered
    (("gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-", "codex-"), "openai"),
    (("mistral", "ministral", "magistral", "codestral", "devstral", "pixtral", "open-mi"), "mistral"),
    (("claude",), "anthropic"),
    (("gemini", "gemma"), "gemini"),
    (("command", "embed-", "c4ai-"), "cohere"),
)


class LlmUsage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one LLM call used. `estimated` says that the counts are a guess, e.g. of a stream that was cut."""

    provider: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    stream: bool = False
    estimated: bool = False


def usage_of_answer(body: bytes, content_type: str) -> LlmUsage | None:
    """Return the usage that an answer reports, JSON or a stream of server-sent events; None when it reports none.

    A cut stream reports what its events said so far: Anthropic's first event knows the input, and the missing end
    makes the counts `estimated`.
    """
    stream = is_stream(content_type)
    body = _unpacked(body)
    documents = _frames(body) if "amazon" in content_type else _events(body) if stream else _documents(body)
    found: dict[str, Any] = {}
    for document in documents:
        _collect(document, found)
    usage = _normalised(found)
    if usage is None:
        return None
    cut = stream and not found.get("ended", True)
    return msgspec.structs.replace(usage, stream=stream, estimated=cut)


def _unpacked(body: bytes) -> bytes:
    """Return the beginning of a gzipped answer: some upstreams compress what nobody asked them to."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        return zlib.decompressobj(wbits=31).decompress(body, MOST_UNPACKED_BYTES)
    except zlib.error:
        return b""


def is_stream(content_type: str) -> bool:
    """Say whether the answer came as a stream: server-sent events, or Bedrock's binary event stream."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in {"text/event-stream", "application/vnd.amazon.eventstream", "application/x-ndjson"}


def token_count(value: object) -> int | None:
    """Return a count of tokens, or None for what is no count: negative, fractional, absurdly large, a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None


def name_of(value: object) -> str | None:
    """Return a provider's or model's name, cut to a bounded length; None for what is no name."""
    return value[:LONGEST_NAME] if isinstance(value, str) and value else None


def _documents(body: bytes) -> Iterator[Mapping[str, Any]]:
    document = _json(body)
    for part in document if isinstance(document, list) else [document]:  # Gemini streams one JSON array
        if isinstance(part, dict):
            yield part


def _events(body: bytes) -> Iterator[Mapping[str, Any]]:
    for line in body.splitlines():
        document = _json(line[5:] if line.startswith(b"data:") else line)
        if isinstance(document, dict):
            yield document


def _frames(body: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the payloads of AWS's binary event stream: lengths of all and of the headers, a checksum, both, another."""
    at = 0
    while at + 16 <= len(body):
        total, headers = int.from_bytes(body[at : at + 4], "big"), int.from_bytes(body[at + 4 : at + 8], "big")
        document = _json(body[at + 12 + headers : at + total - 4])
        if isinstance(document, dict):
            yield document
        at += max(total, 16)


def _json(text: bytes) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _collect(document: Mapping[str, Any], found: dict[str, Any]) -> None:
    """Merge one answer or event into what is known: a later count replaces an earlier one, a name stays."""
    for holder in _holders(document):
        _collect_counts(holder, found)
    kind = document.get("type")
    if kind in {"message", "message_start"}:
        found["anthropic"] = True
    if kind in {"message_start", "message_stop"}:
        found["ended"] = kind == "message_stop"
    if "usageMetadata" in document:  # Gemini counts up in each event; only the last one tells why it finished
        candidates = document.get("candidates") or []
        found["ended"] = any(isinstance(one, dict) and one.get("finishReason") for one in candidates)


def _collect_counts(holder: Mapping[str, Any], found: dict[str, Any]) -> None:
    name = name_of(holder.get("model")) or name_of(holder.get("modelVersion"))
    if name:
        found.setdefault("model", name)
    for key in ("usage", "usageMetadata", "meta"):
        counts = holder.get(key)
        if isinstance(counts, dict):
            found.setdefault(key, {}).update({name: value for name, value in counts.items() if value is not None})
    if "inputTextTokenCount" in holder or "generation_token_count" in holder:  # Bedrock InvokeModel
        found["usage"] = _bedrock_invoke(holder)


def _holders(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects that may carry model and usage: the answer itself, or what an event wraps."""
    yield document
    for key in ("message", "response", "delta"):
        wrapped = document.get(key)
        if isinstance(wrapped, dict):
            yield wrapped


def _bedrock_invoke(holder: Mapping[str, Any]) -> dict[str, Any]:
    if "generation_token_count" in holder:
        return {"inputTokens": holder.get("prompt_token_count"), "outputTokens": holder["generation_token_count"]}
    results = [result for result in holder.get("results") or [] if isinstance(result, dict)]
    written = sum(token_count(result.get("tokenCount")) or 0 for result in results)
    return {"inputTokens": holder["inputTextTokenCount"], "outputTokens": written}


def _normalised(found: Mapping[str, Any]) -> LlmUsage | None:
    model = name_of(found.get("model"))
    usage = found.get("usage") or {}
    if found.get("usageMetadata"):
        return _from_gemini(found["usageMetadata"], model)
    if "inputTokens" in usage:
        return _from_bedrock(usage, model)
    cohere = usage if "billed_units" in usage else found.get("meta", {})
    if isinstance(cohere.get("billed_units"), dict):
        return _from_cohere(cohere, model)
    if "prompt_tokens" in usage or "input_tokens" in usage:
        anthropic = found.get("anthropic") or "cache_read_input_tokens" in usage
        return _from_anthropic(usage, model) if anthropic else _from_openai(usage, model)
    return None


def openai_counts(usage: Mapping[str, Any]) -> tuple[int | None, int | None, int | None, int | None]:
    """Return input, output, cached and reasoning tokens of a usage object in OpenAI's format.

    Some who speak the format count otherwise (xAI and Gemini leave reasoning out of the completion, some leave cached
    tokens out of the prompt); their total gives it away.
    """
    read = _first(usage, "prompt_tokens", "input_tokens", "prompt_token")
    written = _first(usage, "completion_tokens", "output_tokens", "completion_token")
    cached = _detail(usage, ("prompt_tokens_details", "input_tokens_details"), "cached_tokens")
    if cached is None:
        cached = _first(usage, "prompt_cache_hit_tokens")  # DeepSeek's name for it
    reasoning = _detail(usage, ("completion_tokens_details", "output_tokens_details"), "reasoning_tokens")
    total = _first(usage, "total_tokens")
    if read is not None and cached and (cached > read or total == read + cached + (written or 0)):
        read += cached
    if written is not None and reasoning and (reasoning > written or total == (read or 0) + written + reasoning):
        written += reasoning
    return read, written, cached, reasoning


def _from_openai(usage: Mapping[str, Any], model: str | None) -> LlmUsage:
    read, written, cached, reasoning = openai_counts(usage)
    return LlmUsage(
        provider=family_of(model),
        model=model,
        input_tokens=read,
        output_tokens=written or 0,  # embeddings write nothing
        cached_tokens=cached or 0,
        reasoning_tokens=reasoning or 0,
    )


def _from_anthropic(usage: Mapping[str, Any], model: str | None) -> LlmUsage:
    read = _first(usage, "cache_read_input_tokens") or 0
    written = _first(usage, "cache_creation_input_tokens") or 0
    return LlmUsage(
        provider="anthropic",
        model=model,
        input_tokens=_sum(_first(usage, "input_tokens"), read, written),
        output_tokens=_first(usage, "output_tokens"),
        cached_tokens=read,
        reasoning_tokens=0,
    )


def _from_bedrock(usage: Mapping[str, Any], model: str | None) -> LlmUsage:
    read = _first(usage, "cacheReadInputTokens", "cacheReadInputTokenCount") or 0
    written = _first(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount") or 0
    return LlmUsage(
        provider="bedrock",
        model=model,
        input_tokens=_sum(_first(usage, "inputTokens"), read, written),
        output_tokens=_first(usage, "outputTokens"),
        cached_tokens=read,
        reasoning_tokens=0,
    )


def _from_gemini(usage: Mapping[str, Any], model: str | None) -> LlmUsage:
    thoughts = _first(usage, "thoughtsTokenCount") or 0
    read = _sum(_first(usage, "promptTokenCount"), _first(usage, "toolUsePromptTokenCount") or 0)
    candidates = _first(usage, "candidatesTokenCount") or 0
    holds_thoughts = _first(usage, "totalTokenCount") == (read or 0) + candidates
    return LlmUsage(
        provider="gemini",
        model=model,
        input_tokens=read,
        output_tokens=candidates if holds_thoughts else candidates + thoughts,
        cached_tokens=_first(usage, "cachedContentTokenCount") or 0,
        reasoning_tokens=thoughts,
    )


def _from_cohere(usage: Mapping[str, Any], model: str | None) -> LlmUsage:
    billed = usage["billed_units"]
    return LlmUsage(
        provider="cohere",
        model=model,
        input_tokens=_first(billed, "input_tokens"),
        output_tokens=_first(billed, "output_tokens") or 0,
        cached_tokens=_first(usage, "cached_tokens") or 0,
        reasoning_tokens=0,
    )


def _first(counts: Mapping[str, Any], *names: str) -> int | None:
    return next((count for name in names if (count := token_count(counts.get(name))) is not None), None)


def _detail(counts: Mapping[str, Any], holders: tuple[str, ...], name: str) -> int | None:
    for holder in holders:
        details = counts.get(holder)
        if isinstance(details, dict):
            return token_count(details.get(name))
    return None


def _sum(count: int | None, *more: int) -> int | None:
    return None if count is None else count + sum(more)


def family_of(model: str | None) -> str | None:
    """Return who makes a model, by its name; None when the name does not tell."""
    lowered = (model or "").lower()
    return next((provider for prefixes, provider in _FAMILIES if lowered.startswith(prefixes)), None)
