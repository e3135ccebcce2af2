"""kong-plugin/lua/llm_usage.lua in real LuaJIT and Kong's sandbox: what each answer, whole or cut, publishes."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.configuration import Plugin
from tests.gateway.exchange import Exchange
from tests.gateway.lua import LuaFunctions
from tests.plugin.llm_answers import JSON, OPENAI_USAGE, SSE, STREAMS, WHOLE, Answer, events
from tollkeeper_kong.llm import family_of

CODE = (Path(__file__).parent.parent.parent / "kong-plugin/lua/llm_usage.lua").read_text()
PROMPT = 404  # bytes of the request: 101 tokens at four bytes each
Published = dict[str, Any]


@pytest.fixture(scope="module")
def lua() -> LuaFunctions:
    return LuaFunctions(Plugin("p1", "post-function", {"body_filter": [CODE]}, "plugins[0]"))


def run(lua: LuaFunctions, chunks: list[bytes], content_type: str, *, end: bool = True, **headers: str) -> Published:
    """Let an answer's chunks through the filter; `end` is what a client that goes away takes from it."""
    exchange = Exchange("id", "POST", "/chat", [("content-length", str(PROMPT))], b"", 0, "127.0.0.1", 1, 8000)
    exchange.answer_headers = [("content-type", content_type), *headers.items()]
    for chunk in chunks:
        assert lua.run("body_filter", exchange, chunk) == chunk, "the client gets each chunk at once and untouched"
    if end:
        assert lua.run("body_filter", exchange, b"", last=True) == b""
    assert "errors" not in exchange.lua, exchange.lua["errors"]
    lua.publish(exchange)
    return dict(exchange.serialize_values).get("tollkeeper.llm", {})


def counts(llm: Published) -> tuple[Any, ...]:
    provider = llm.get("provider") or family_of(llm.get("model"))
    names = ("model", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
    return (provider, *(llm.get(name) for name in names))


def sliced(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize("answer", [*WHOLE, *STREAMS], ids=str)
@pytest.mark.parametrize("size", [None, 7, 1000, 10**6])
def test_a_whole_answer_publishes_the_provider_s_own_counts_however_it_is_sliced(
    lua: LuaFunctions, answer: Answer, size: int | None
) -> None:
    chunks = answer.chunks if size is None else sliced(b"".join(answer.chunks), size)
    llm = run(lua, chunks, answer.content_type)
    assert counts(llm) == answer.expected
    assert llm["stream"] is answer.stream
    assert llm["estimated"] is False


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=st.sampled_from([*WHOLE, *STREAMS]), cuts=st.lists(st.integers(0, 3000), max_size=30))
def test_where_the_network_cuts_the_chunks_changes_nothing(lua: LuaFunctions, answer: Answer, cuts: list[int]) -> None:
    body = b"".join(answer.chunks)
    edges = [0, *sorted(cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(edges)]
    assert counts(run(lua, chunks, answer.content_type)) == answer.expected


@pytest.mark.parametrize("answer", [answer for answer in STREAMS if answer.content_type == SSE], ids=str)
def test_a_stream_cut_after_any_chunk_is_marked_until_the_final_count_has_come(
    lua: LuaFunctions, answer: Answer
) -> None:
    """The client goes away after n chunks: no end of the body, no further call."""
    seen = [run(lua, answer.chunks[:cut], SSE, end=False) for cut in range(len(answer.chunks) + 1)]
    assert seen[0] == {}
    published = [llm for llm in seen if llm]
    outputs = [llm["output_tokens"] for llm in published]
    exact = [llm["estimated"] is False for llm in published]
    assert exact == sorted(exact), "once exact, it stays exact"
    assert all(counts(llm) == answer.expected for llm in published if not llm["estimated"])
    assert all(one <= other for one, other in itertools.pairwise(outputs)), "an estimate only grows"
    assert published[-1]["estimated"] is False


def test_a_cut_openai_stream_bills_what_was_delivered_and_the_prompt_as_estimates(lua: LuaFunctions) -> None:
    """Delivered: "Hello", 5 bytes, 2 tokens at 4 bytes each; the prompt has 404 bytes."""
    stream = STREAMS[0]
    assert run(lua, stream.chunks[:2], SSE, end=False) == {
        "model": "gpt-4o-mini-2024-07-18", "input_tokens": 101, "output_tokens": 2,
        "stream": True, "estimated": True,
    }  # fmt: skip


def test_a_cut_anthropic_stream_bills_its_exact_input(lua: LuaFunctions) -> None:
    stream = next(answer for answer in STREAMS if answer.name == "Anthropic stream")
    llm = run(lua, stream.chunks[:1], SSE, end=False)
    assert (llm["input_tokens"], llm["output_tokens"], llm["cached_tokens"], llm["estimated"]) == (101, 1, 51, True)


def test_a_cut_gemini_stream_bills_what_it_counted_so_far(lua: LuaFunctions) -> None:
    stream = next(answer for answer in STREAMS if answer.name == "Gemini stream")
    llm = run(lua, stream.chunks[:2], SSE, end=False)
    assert (llm["input_tokens"], llm["output_tokens"], llm["estimated"]) == (101, 29, True)


def test_a_json_answer_cut_before_its_usage_bills_no_tokens(lua: LuaFunctions) -> None:
    assert run(lua, WHOLE[0].chunks[:1], JSON, end=False) == {}


def test_a_stream_that_ends_without_usage_is_an_estimate(lua: LuaFunctions) -> None:
    """A client that did not ask for `stream_options.include_usage`."""
    llm = run(lua, STREAMS[0].chunks[:-2], SSE)
    assert llm["estimated"] is True
    assert llm["output_tokens"] > 2


def test_usage_that_comes_twice_counts_once_and_the_last_holds(lua: LuaFunctions) -> None:
    """An upstream that repeats its end, or counts up in each chunk (vLLM's continuous usage)."""
    early = {"model": "m", "choices": [], "usage": OPENAI_USAGE | {"completion_tokens": 5}}
    last = {"model": "m", "choices": [], "usage": OPENAI_USAGE}
    assert run(lua, events(early, last, last), SSE)["output_tokens"] == 37


def test_a_retried_request_is_an_answer_of_its_own(lua: LuaFunctions) -> None:
    """The client retries after a cut: two requests, two records; nothing of the first leaks into the second."""
    run(lua, STREAMS[0].chunks[:3], SSE, end=False)
    assert counts(run(lua, STREAMS[0].chunks, SSE)) == STREAMS[0].expected


def test_many_answers_at_once_do_not_mix(lua: LuaFunctions) -> None:
    exchanges = [Exchange("id", "POST", "/", [], b"", 0, "127.0.0.1", 1, 8000) for _ in STREAMS[:6]]
    for exchange in exchanges:
        exchange.answer_headers = [("content-type", SSE)]
    for step in range(12):
        for exchange, answer in zip(exchanges, STREAMS[:6], strict=True):
            if step < len(answer.chunks):
                lua.run("body_filter", exchange, answer.chunks[step])
    for exchange, answer in zip(exchanges, STREAMS[:6], strict=True):
        lua.publish(exchange)
        assert counts(dict(exchange.serialize_values)["tollkeeper.llm"]) == answer.expected


def test_other_answers_publish_nothing(lua: LuaFunctions) -> None:
    assert run(lua, [b"<html>usage</html>"], "text/html") == {}
    assert run(lua, [b'[{"flight":"KA924"}]'], JSON) == {}
    assert run(lua, [b'data: {"price":7}\n\n'], SSE) == {}
    assert run(lua, [b'{"usage":{"disk":"7 GB"}}'], JSON) == {}
    assert run(lua, [b"\x1f\x8b\x08"], SSE, **{"content-encoding": "gzip"}) == {}
    assert run(lua, [], "") == {}


def test_a_huge_prompt_is_not_guessed(lua: LuaFunctions) -> None:
    exchange = Exchange("id", "POST", "/", [("content-length", str(10**7))], b"", 0, "127.0.0.1", 1, 8000)
    exchange.answer_headers = [("content-type", SSE)]
    lua.run("body_filter", exchange, STREAMS[0].chunks[1])
    lua.publish(exchange)
    assert "input_tokens" not in dict(exchange.serialize_values)["tollkeeper.llm"]


def test_memory_stays_bounded_over_an_endless_line(lua: LuaFunctions) -> None:
    runtime = lua._runtime
    exchange = Exchange("id", "POST", "/", [], b"", 0, "127.0.0.1", 1, 8000)
    exchange.answer_headers = [("content-type", SSE)]
    for _ in range(200):
        lua.run("body_filter", exchange, b"x" * 65536)
    runtime.execute(b"collectgarbage() collectgarbage()")
    kilobytes = runtime.eval(b"collectgarbage('count')")
    assert kilobytes < 2_000


def test_garbage_never_breaks_the_answer(lua: LuaFunctions) -> None:
    for chunk in (b'data: {"usage":{{{{', b'data: {"usage":{"prompt_tokens":-1}}\n', b"\x00\xff\n\r\n", b'{"model":"'):
        run(lua, [chunk, chunk], SSE)
        run(lua, [chunk, chunk], JSON)
