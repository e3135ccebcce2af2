"""Usage in providers' answers, JSON and streamed, read by the plugin in one convention."""

import gzip
import json

import pytest

from tests.plugin.llm_answers import JSON, SSE, STREAMS, WHOLE, Answer
from tollkeeper_kong.llm import LlmUsage, is_stream, usage_of_answer


def counts(usage: LlmUsage | None) -> tuple[object, ...]:
    assert usage is not None
    return (
        usage.provider, usage.model, usage.input_tokens, usage.output_tokens,
        usage.cached_tokens, usage.reasoning_tokens,
    )  # fmt: skip


@pytest.mark.parametrize("answer", [*WHOLE, *STREAMS], ids=str)
def test_input_includes_cached_and_output_includes_reasoning_for_every_provider(answer: Answer) -> None:
    usage = usage_of_answer(b"".join(answer.chunks), answer.content_type)
    assert counts(usage) == answer.expected
    assert usage is not None
    assert usage.stream is answer.stream
    assert usage.estimated is False


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"inputTextTokenCount": 101, "results": [{"tokenCount": 30}, {"tokenCount": 7}]}, (101, 37)),
        ({"generation": "x", "prompt_token_count": 101, "generation_token_count": 37}, (101, 37)),
    ],
    ids=["Titan", "Llama"],
)
def test_bedrock_s_own_models_are_read(body: dict[str, object], expected: tuple[int, int]) -> None:
    usage = usage_of_answer(json.dumps(body).encode(), JSON)
    assert usage is not None
    assert (usage.provider, usage.input_tokens, usage.output_tokens) == ("bedrock", *expected)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"[1]", b"not json", b'{"usage": null}', b'{"usage": []}', b'{"usage": {}}',
        b"\xff\xfe{",
        b'{"error": {"message": "no", "code": "rate_limit_exceeded"}}', b'{"usage": {"used": "1 GB"}}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_an_answer_without_usage_is_no_llm_call(body: bytes) -> None:
    assert usage_of_answer(body, JSON) is None
    assert usage_of_answer(b"data: " + body + b"\n\n", SSE) is None


def test_gemini_s_array_of_chunks_counts_the_last_one() -> None:
    chunks = [{"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": n}} for n in (1, 5)]
    usage = usage_of_answer(json.dumps(chunks).encode(), JSON)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (9, 5)


def test_a_cut_anthropic_stream_knows_its_input_and_is_an_estimate() -> None:
    stream = next(answer for answer in STREAMS if answer.name == "Anthropic stream")
    usage = usage_of_answer(b"".join(stream.chunks[:4]), SSE)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (101, 1, True)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/event-stream", True), ("Text/Event-Stream; charset=utf-8", True), ("application/json", False),
        ("application/vnd.amazon.eventstream", True), ("", False), ("text/plain", False),
    ],
)  # fmt: skip
def test_a_stream_is_told_by_its_content_type(content_type: str, expected: bool) -> None:
    assert is_stream(content_type) is expected


def test_a_gzipped_answer_is_read() -> None:
    (answer,) = [one for one in WHOLE if str(one) == str(WHOLE[0])]
    packed = gzip.compress(b"".join(answer.chunks), mtime=0)
    assert counts(usage_of_answer(packed, answer.content_type)) == answer.expected


@pytest.mark.parametrize(
    "body",
    [
        b"\x1f\x8b", b"\x1f\x8bnonsense", gzip.compress(b'{"usage": {}}', mtime=0)[:-9],
        gzip.compress(b" " * 100_000_000 + b'{"usage": {"prompt_tokens": 1}}', compresslevel=1, mtime=0),
    ],
    ids=["head", "garbage", "cut", "bomb"],
)  # fmt: skip
def test_gzip_that_is_broken_or_a_bomb_reports_nothing_and_costs_little(body: bytes) -> None:
    assert usage_of_answer(body, JSON) is None
