"""LLM usage in Kong's own logs, in every form that Kong 3.6 to 3.15 writes, and what our Lua filter publishes.

| Kong | where |
|---|---|
| 3.6 | `ai.usage`, `ai.meta` (`prompt_token`, singular) |
| 3.7 | `ai["ai-proxy"].usage` (`prompt_token`, singular) |
| 3.8 | `ai["ai-proxy"].usage`, Enterprise also `ai["ai-proxy-advanced"].usage` |
| 3.9 and later | `ai.proxy.usage`; from 3.11 with `prompt_tokens_details` and `completion_tokens_details` |

Other AI plugins (transformers, guards, caches) write beside these; their calls are the operator's, not the client's.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tollkeeper_kong.exchange import Number, Published
from tollkeeper_kong.llm import LlmUsage, family_of, name_of, openai_counts, token_count

_PROXIES = ("proxy", "ai-proxy-advanced", "ai-proxy")


def kong_llm(ai: msgspec.Raw, *, stream: bool) -> tuple[LlmUsage | None, Number | None]:
    """Return what ai-proxy logged and the cost that it computed.

    A streamed answer's counts are Kong's estimate (OSS often writes completion 0), so they are marked.
    """
    logged = _object(ai)
    entry = next((logged[name] for name in _PROXIES if _usage(logged.get(name))), logged)
    usage = _usage(entry)
    if not usage:
        return None, None
    meta = entry["meta"] if isinstance(entry.get("meta"), dict) else {}
    read, written, cached, reasoning = openai_counts(usage)
    found = LlmUsage(
        provider=_specified(meta, "provider_name"),
        model=_specified(meta, "response_model") or _specified(meta, "request_model"),
        input_tokens=read,
        output_tokens=written,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
        stream=stream,
        estimated=stream,
    )
    cost = usage.get("cost")
    return found, cost if isinstance(cost, int | float) and not isinstance(cost, bool) else None


def our_llm(published: Published | None) -> LlmUsage | None:
    """Return what kong-plugin/lua/llm_usage.lua published; exact unless it says `estimated`."""
    found = _object(published.llm) if published else {}
    if not found:
        return None
    return LlmUsage(
        provider=name_of(found.get("provider")) or family_of(name_of(found.get("model"))),
        model=name_of(found.get("model")),
        input_tokens=token_count(found.get("input_tokens")),
        output_tokens=token_count(found.get("output_tokens")),
        cached_tokens=token_count(found.get("cached_tokens")),
        reasoning_tokens=token_count(found.get("reasoning_tokens")),
        stream=found.get("stream") is True,
        estimated=found.get("estimated") is True,
    )


def _object(raw: msgspec.Raw) -> dict[str, Any]:
    text = bytes(raw)
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):  # a logged payload may hold bytes that are not UTF-8
        found = msgspec.json.decode(text.decode("utf-8", "replace"))
    return found if isinstance(found, dict) else {}


def _usage(entry: object) -> Mapping[str, Any]:
    usage = entry.get("usage") if isinstance(entry, dict) else None
    return usage if isinstance(usage, dict) else {}


def _specified(meta: Mapping[str, Any], name: str) -> str | None:
    """Return a name of Kong's metadata; Kong writes UNSPECIFIED for one that it does not know."""
    found = name_of(meta.get(name))
    return None if found == "UNSPECIFIED" else found
