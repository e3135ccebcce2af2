"""Answers of LLM providers as they write them, and the usage that each must come to: worked out by hand."""
# ruff: noqa: E501 - the answers read better in the width in which providers document them

import json
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json; charset=utf-8"
SSE = "text/event-stream; charset=utf-8"
BINARY = "application/vnd.amazon.eventstream"


@dataclass(frozen=True)
class Answer:
    """An answer in the pieces in which it arrives, and (provider, model, input, output, cached, reasoning)."""

    name: str
    content_type: str
    chunks: list[bytes]
    expected: tuple[str | None, str | None, int, int, int, int]
    stream: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stream", self.content_type != JSON)

    def __str__(self) -> str:
        return self.name


def events(*contents: Any, named: bool = False, end: bytes = b"") -> list[bytes]:
    """Write server-sent events, one chunk each."""
    found = []
    for content in contents:
        head = f"event: {content['type']}\n".encode() if named else b""
        found.append(head + b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n")
    return [*found, end] if end else found


def aws_frame(kind: str, content: Any) -> bytes:
    """Write a frame of AWS's event stream; the checksums are not real."""
    payload = json.dumps(content).encode()
    name, value = b":event-type", kind.encode()
    headers = bytes([len(name)]) + name + b"\x07" + len(value).to_bytes(2, "big") + value
    total = 12 + len(headers) + len(payload) + 4
    return (
        total.to_bytes(4, "big")
        + len(headers).to_bytes(4, "big")
        + b"\xff\xfe\x00\x01"
        + headers
        + payload
        + b"\x02\xfd\xff\x00"
    )


def _json(content: Any) -> list[bytes]:
    return [json.dumps(content).encode()]


OPENAI_USAGE = {
    "prompt_tokens": 101, "completion_tokens": 37, "total_tokens": 138,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}  # fmt: skip
RESPONSES_USAGE = {
    "input_tokens": 101, "input_tokens_details": {"cached_tokens": 64}, "output_tokens": 37,
    "output_tokens_details": {"reasoning_tokens": 20}, "total_tokens": 138,
}  # fmt: skip
ANTHROPIC_USAGE = {
    "input_tokens": 30, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 51,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 37, "service_tier": "standard",
}  # fmt: skip
GEMINI_USAGE = {
    "promptTokenCount": 95, "toolUsePromptTokenCount": 6, "candidatesTokenCount": 17, "thoughtsTokenCount": 20,
    "totalTokenCount": 138, "cachedContentTokenCount": 64,
}  # fmt: skip
COHERE_USAGE = {
    "billed_units": {"input_tokens": 101, "output_tokens": 37},
    "tokens": {"input_tokens": 300, "output_tokens": 40},
}
BEDROCK_USAGE = {
    "inputTokens": 30, "outputTokens": 37, "totalTokens": 138, "cacheReadInputTokens": 51, "cacheWriteInputTokens": 20
}  # fmt: skip

FAKE = 'I say {"usage":{"prompt_tokens":1,"completion_tokens":1},"model":"cheap"} and mean it'


def _chat_chunk(content: str | None, *, finish: str | None = None, usage: Any = None) -> dict[str, Any]:
    delta = {"content": content} if content is not None else {}
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": usage,
    }  # fmt: skip


def _anthropic_start() -> dict[str, Any]:
    usage = ANTHROPIC_USAGE | {"output_tokens": 1}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4",
        "content": [],
        "usage": usage,
    }
    return {"type": "message_start", "message": message}


def _anthropic_text(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def _gemini(text: str, usage: dict[str, int], *, finish: bool = False) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = "STOP"
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}


WHOLE = [
    Answer("OpenAI chat", JSON, _json({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": FAKE}, "finish_reason": "stop"}],
        "usage": OPENAI_USAGE, "service_tier": "default", "system_fingerprint": "fp_1",
    }), ("openai", "gpt-4o-mini-2024-07-18", 101, 37, 64, 20)),
    Answer("OpenAI responses", JSON, _json({
        "id": "resp_1", "object": "response", "model": "o4-mini", "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": FAKE}]}],
        "tools": [{"type": "function", "parameters": {"properties": {"usage": {"type": "string"}}}}],
        "usage": RESPONSES_USAGE, "user": None, "metadata": {},
    }), ("openai", "o4-mini", 101, 37, 64, 20)),
    Answer("OpenAI embeddings", JSON, _json({
        "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1] * 3000}],
        "model": "text-embedding-3-small", "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }), ("openai", "text-embedding-3-small", 8, 0, 0, 0)),
    Answer("Mistral, usage first", JSON, _json({
        "id": "1", "created": 1, "model": "mistral-small-latest",
        "usage": {"prompt_tokens": 101, "total_tokens": 138, "completion_tokens": 37}, "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x" * 30000}}],
    }), ("mistral", "mistral-small-latest", 101, 37, 0, 0)),
    Answer("DeepSeek", JSON, _json({
        "model": "deepseek-chat", "choices": [],
        "usage": {"prompt_tokens": 101, "completion_tokens": 37, "prompt_cache_hit_tokens": 64, "total_tokens": 138},
    }), (None, "deepseek-chat", 101, 37, 64, 0)),
    Answer("xAI, reasoning outside of the completion", JSON, _json({
        "model": "grok-4", "choices": [], "usage": {
            "prompt_tokens": 101, "completion_tokens": 17, "total_tokens": 138, "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 20}},
    }), (None, "grok-4", 101, 37, 64, 20)),
    Answer("a proxy that leaves cached tokens out of the prompt", JSON, _json({
        "model": "claude-sonnet-4", "choices": [], "usage": {
            "prompt_tokens": 50, "completion_tokens": 37, "total_tokens": 138, "prompt_tokens_details": {"cached_tokens": 51}},
    }), ("anthropic", "claude-sonnet-4", 101, 37, 51, 0)),
    Answer("Gemini, thoughts counted in", JSON, _json(
        _gemini("x", {"promptTokenCount": 101, "candidatesTokenCount": 37, "thoughtsTokenCount": 20, "totalTokenCount": 138}, finish=True)
    ), ("gemini", "gemini-2.5-flash", 101, 37, 0, 20)),
    Answer("Anthropic", JSON, _json({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4",
        "content": [{"type": "tool_use", "name": "t", "input": {"usage": {"input_tokens": 1, "output_tokens": 1}}}],
        "stop_reason": "tool_use", "usage": ANTHROPIC_USAGE,
    }), ("anthropic", "claude-sonnet-4", 101, 37, 51, 0)),
    Answer("Gemini", JSON, _json(_gemini(FAKE, GEMINI_USAGE, finish=True)), ("gemini", "gemini-2.5-flash", 101, 37, 64, 20)),
    Answer("Cohere v2", JSON, _json({
        "id": "1", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [{"type": "text", "text": "x"}]},
        "usage": COHERE_USAGE,
    }), ("cohere", None, 101, 37, 0, 0)),
    Answer("Cohere v1", JSON, _json({"text": "x", "generation_id": "1", "meta": {"api_version": {"version": "1"}, **COHERE_USAGE}}),
           ("cohere", None, 101, 37, 0, 0)),
    Answer("Bedrock Converse", JSON, _json({
        "metrics": {"latencyMs": 551}, "output": {"message": {"content": [{"text": "x"}], "role": "assistant"}},
        "stopReason": "end_turn", "usage": BEDROCK_USAGE,
    }), ("bedrock", None, 101, 37, 51, 0)),
]  # fmt: skip

STREAMS = [
    Answer("OpenAI chat stream", SSE, events(
        _chat_chunk(""), _chat_chunk("Hello"), _chat_chunk(FAKE), _chat_chunk(None, finish="stop"),
        _chat_chunk(None, usage=OPENAI_USAGE) | {"choices": []}, end=b"data: [DONE]\n\n",
    ), ("openai", "gpt-4o-mini-2024-07-18", 101, 37, 64, 20)),
    Answer("OpenAI responses stream", SSE, events(
        {"type": "response.created", "response": {"id": "resp_1", "object": "response", "model": "o4-mini", "usage": None}},
        {"type": "response.output_text.delta", "delta": "Hello"},
        {"type": "response.output_text.delta", "delta": " there, you"},
        {"type": "response.completed", "response": {
            "id": "resp_1", "object": "response", "model": "o4-mini",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": FAKE + "x" * 40000}]}],
            "usage": RESPONSES_USAGE, "user": None}},
        named=True,
    ), ("openai", "o4-mini", 101, 37, 64, 20)),
    Answer("Anthropic stream", SSE, events(
        _anthropic_start(), {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"}, _anthropic_text("Hello"), _anthropic_text(" there, you " + FAKE),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 37}},
        {"type": "message_stop"}, named=True,
    ), ("anthropic", "claude-sonnet-4", 101, 37, 51, 0)),
    Answer("Gemini stream", SSE, events(
        _gemini("Hello", GEMINI_USAGE | {"candidatesTokenCount": 1, "totalTokenCount": 122}),
        _gemini(FAKE, GEMINI_USAGE | {"candidatesTokenCount": 9, "totalTokenCount": 130}), _gemini("!", GEMINI_USAGE, finish=True),
    ), ("gemini", "gemini-2.5-flash", 101, 37, 64, 20)),
    Answer("Mistral stream", SSE, events(
        _chat_chunk("Hello") | {"model": "mistral-small-latest"},
        _chat_chunk("!", finish="stop", usage={"prompt_tokens": 101, "total_tokens": 138, "completion_tokens": 37})
        | {"model": "mistral-small-latest"}, end=b"data: [DONE]\n\n",
    ), ("mistral", "mistral-small-latest", 101, 37, 0, 0)),
    Answer("Cohere v2 stream", SSE, events(
        {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hello"}}}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}}, named=True,
    ), ("cohere", None, 101, 37, 0, 0)),
    Answer("Bedrock Converse stream", BINARY, [
        aws_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}, "p": "abcd"}),
        aws_frame("messageStop", {"stopReason": "end_turn"}),
        aws_frame("metadata", {"metrics": {"latencyMs": 551}, "p": "ab", "usage": BEDROCK_USAGE}),
    ], ("bedrock", None, 101, 37, 51, 0)),
]  # fmt: skip
