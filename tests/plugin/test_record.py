"""Exchange -> usage record: every form that Kong writes becomes the record of the wire contract."""

import json
from pathlib import Path
from typing import Any

import pytest

from tollkeeper_kong.exchange import NotAnExchange, exchange_from_serialize
from tollkeeper_kong.llm import LlmUsage
from tollkeeper_kong.record import plain_decimal, usage_record

TESTS = Path(__file__).parent.parent
KONG = TESTS / "recordings/kong"
CONTRACT = {case["name"]: case["event"] for case in json.loads((TESTS / "contract/usage-events.json").read_text())}


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((KONG / f"kong-serialize-{name}.json").read_text())
    return found


def record_of(serialized: dict[str, Any] | str, **more: Any) -> dict[str, Any]:
    text = serialized if isinstance(serialized, str) else json.dumps(serialized)
    record: dict[str, Any] = json.loads(usage_record(exchange_from_serialize(text), node="node-7", **more))
    return record


def with_ai(ai: object, *, content_type: str = "application/json") -> dict[str, Any]:
    serialized = recorded("ai-chat")
    serialized["ai"] = ai
    serialized["response"]["headers"]["content-type"] = content_type
    return serialized


def llm_of(serialized: dict[str, Any]) -> dict[str, Any]:
    llm: dict[str, Any] = record_of(serialized)["data"]["llm"]
    return llm


def test_an_answered_chat_makes_the_record_of_the_contract() -> None:
    assert record_of(recorded("ai-chat")) == CONTRACT["a chat completion that the upstream answered"]


def test_the_record_is_compact_and_its_keys_come_in_the_order_of_the_contract() -> None:
    written = usage_record(exchange_from_serialize((KONG / "kong-serialize-ai-chat.json").read_bytes()), node="node-7")
    expected = json.dumps(CONTRACT["a chat completion that the upstream answered"], separators=(",", ":"))
    assert written.decode() == expected


def test_a_refusal_of_ours_makes_the_record_of_the_contract() -> None:
    serialized = recorded("keyauth") | {"source": "kong", "upstream_status": "", "started_at": 1795332601005}
    serialized["route"]["name"] = serialized["service"]["name"] = "flights"
    serialized["request"] |= {"id": "0123456789abcdef0123456789abcdef", "size": 120}
    serialized["latencies"] = {"proxy": -1, "kong": 1, "receive": 0, "request": 1}
    serialized["response"] = {
        "status": 429, "size": 410, "headers": {"x-tollkeeper-refused": "quota_exhausted lim_1"}
    }  # fmt: skip
    assert record_of(serialized) == CONTRACT["a request that Tollkeeper refused"]


def test_a_request_that_matched_no_route_makes_the_record_of_the_contract() -> None:
    serialized = recorded("401")
    serialized["response"]["status"] = 404
    del serialized["route"], serialized["service"]
    assert record_of(serialized) == CONTRACT["a request without a consumer that matched no route"]


def test_a_401_of_kong_is_no_refusal_of_ours() -> None:
    data = record_of(recorded("401"))["data"]
    assert data["status"] == 401
    assert data["origin"] == "kong"
    assert "refused" not in data
    assert "consumer" not in data


def test_an_upstream_cannot_forge_a_refusal_and_so_go_unbilled() -> None:
    serialized = recorded("keyauth")
    serialized["response"]["headers"]["x-tollkeeper-refused"] = "quota_exhausted lim_1"
    assert "refused" not in record_of(serialized)["data"]


def test_a_refusal_without_a_limit_has_a_code_alone() -> None:
    serialized = recorded("401")
    serialized["response"]["headers"]["x-tollkeeper-refused"] = "payment_overdue -"
    assert record_of(serialized)["data"]["refused"] == {"code": "payment_overdue"}


def test_shadow_mode_records_what_it_would_have_refused() -> None:
    serialized = recorded("keyauth") | {
        "tollkeeper": {"would_refuse": {"code": "quota_exhausted", "limit_id": "lim_9"}}
    }
    data = record_of(serialized)["data"]
    assert data["would_refuse"] == {"code": "quota_exhausted", "limit_id": "lim_9"}
    assert "refused" not in data


@pytest.mark.parametrize("upstream_status", ["200", 200, "", "502, 200", None])
def test_the_upstream_s_status_may_be_text_a_number_or_several(upstream_status: object) -> None:
    serialized = recorded("keyauth") | {"upstream_status": upstream_status}
    assert record_of(serialized)["data"]["status"] == 200


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": 499}, 499),  # the client went away
        ({"status": 101}, 101),  # upgraded to a websocket
        ({"status": 200, "headers": {"content-type": "application/grpc", "grpc-status": "0"}}, 200),
        ({"status": 200, "headers": None}, 200),
        ({"status": 200, "headers": {"content-type": ["text/plain", "text/html"], "x-tollkeeper-refused": True}}, 200),
    ],
)
def test_aborted_upgraded_and_grpc_requests_are_recorded(change: dict[str, Any], expected: int) -> None:
    serialized = recorded("keyauth")
    serialized["response"] |= change
    data = record_of(serialized)["data"]
    assert data["status"] == expected
    assert "llm" not in data


def test_a_websocket_is_one_record_with_all_that_was_sent_and_how_long_it_was_open() -> None:
    serialized = recorded("keyauth")
    serialized["response"] |= {"status": 101, "size": 48_211, "headers": {"upgrade": "websocket"}}
    serialized["latencies"] = {"proxy": 3, "kong": 1, "receive": 3_599_996, "request": 3_600_000}
    data = record_of(serialized)["data"]
    assert (data["status"], data["bytes"]) == (101, {"request": 161, "response": 48_211})
    assert data["latency_ms"] == {"request": 3_600_000, "kong": 1, "upstream": 3}


def test_kong_s_anonymous_consumer_is_a_consumer_without_a_credential() -> None:
    serialized = recorded("keyauth") | {"consumer": {"id": "6f2b", "username": "anonymous-users"}}
    del serialized["authenticated_entity"]
    record = record_of(serialized)
    assert record["subject"] == "consumer:6f2b"
    assert record["data"]["consumer"] == {"id": "6f2b", "username": "anonymous-users"}
    assert "credential" not in record["data"]


def test_a_route_without_a_name_is_known_by_its_id() -> None:
    serialized = recorded("keyauth")
    del serialized["route"]["name"]
    assert record_of(serialized)["data"]["route"] == "527283d5-6f12-5649-9be1-eb409c3b275f"


def test_a_streamed_answer_of_ai_proxy_is_an_estimate() -> None:
    assert llm_of(recorded("ai-stream")) == {
        "provider": "openai", "model": "gpt-4o-mini", "input_tokens": 4, "output_tokens": 0, "cached_tokens": 0,
        "reasoning_tokens": 0, "cost": "0.0000006", "stream": True, "estimated": True,
    }  # fmt: skip


def test_our_filter_s_counts_are_exact_and_go_before_ai_proxy_s_estimate() -> None:
    serialized = recorded("ai-stream") | {
        "tollkeeper": {"llm": {"model": "gpt-4o-mini-2024-07-18", "input_tokens": 101, "output_tokens": 37,
                               "cached_tokens": 64, "reasoning_tokens": 5, "stream": True}}
    }  # fmt: skip
    assert llm_of(serialized) == {
        "provider": "openai", "model": "gpt-4o-mini-2024-07-18", "input_tokens": 101, "output_tokens": 37,
        "cached_tokens": 64, "reasoning_tokens": 5, "stream": True, "estimated": False,
    }  # the cost of the estimate would be a lie  # fmt: skip


def test_a_cut_stream_that_our_filter_saw_stays_an_estimate() -> None:
    serialized = recorded("keyauth") | {
        "tollkeeper": {"llm": {"model": "gpt-4o", "output_tokens": 12, "stream": True, "estimated": True}}
    }
    assert llm_of(serialized) == {
        "provider": "openai", "model": "gpt-4o", "output_tokens": 12, "cached_tokens": 0, "reasoning_tokens": 0,
        "stream": True, "estimated": True,
    }  # fmt: skip


def test_of_two_estimates_kong_s_is_taken_when_it_counted_an_answer() -> None:
    """ai-proxy turned Anthropic's stream into OpenAI's format, without usage: our filter can only guess."""
    ours = {"llm": {"model": "m", "input_tokens": 90, "output_tokens": 12, "stream": True, "estimated": True}}
    llm = llm_of(recorded("ai-stream-payload") | {"tollkeeper": ours})
    assert (llm["input_tokens"], llm["output_tokens"], llm["estimated"]) == (4, 7, True)
    llm = llm_of(recorded("ai-stream") | {"tollkeeper": ours})  # Kong counted no answer at all
    assert (llm["input_tokens"], llm["output_tokens"], llm["estimated"]) == (90, 12, True)


def test_a_name_that_kong_does_not_know_is_left_out() -> None:
    meta = {"provider_name": "UNSPECIFIED", "request_model": "UNSPECIFIED"}
    llm = llm_of(with_ai({"proxy": {"meta": meta, "usage": USAGE}}))
    assert "provider" not in llm
    assert "model" not in llm


def test_usage_read_from_the_body_goes_first() -> None:
    read = LlmUsage(provider="openai", model="gpt-4o", input_tokens=101, output_tokens=37)
    llm = record_of(recorded("ai-chat"), llm=read)["data"]["llm"]
    assert llm["model"] == "gpt-4o"
    assert llm["cost"] == "0.00003735"  # same counts: Kong's cost holds


USAGE = {"prompt_tokens": 101, "completion_tokens": 37, "total_tokens": 138, "cost": 0.5}
META = {"provider_name": "openai", "request_model": "gpt-4o", "response_model": "gpt-4o-2024"}
SINGULAR = {"prompt_token": 101, "completion_token": 37, "total_tokens": 138}


@pytest.mark.parametrize(
    "ai",
    [
        pytest.param({"meta": META, "usage": SINGULAR}, id="3.6"),
        pytest.param({"ai-proxy": {"meta": META, "usage": SINGULAR}}, id="3.7"),
        pytest.param({"ai-proxy": {"meta": META, "usage": USAGE}}, id="3.8"),
        pytest.param({"ai-proxy-advanced": {"meta": META, "usage": USAGE}}, id="3.8 Enterprise"),
        pytest.param({"proxy": {"meta": META, "usage": USAGE}}, id="3.9 and later"),
        pytest.param(
            {
                "ai-request-transformer": {"meta": {"provider_name": "x"}, "usage": {"prompt_tokens": 9}},
                "proxy": {"meta": META, "usage": USAGE, "cache": {"cache_status": "Miss"}},
                "ai-prompt-guard": {"usage": "none"},
            },
            id="several AI plugins",
        ),
        pytest.param({"ai-proxy": {"usage": {}}, "proxy": {"meta": META, "usage": USAGE}}, id="an empty form beside"),
    ],
)
def test_every_version_of_kong_s_llm_log_is_read(ai: object) -> None:
    llm = llm_of(with_ai(ai))
    assert (llm["provider"], llm["model"], llm["input_tokens"], llm["output_tokens"]) == (
        "openai", "gpt-4o-2024", 101, 37,
    )  # fmt: skip
    assert llm["estimated"] is False


def test_cached_and_reasoning_tokens_are_read_from_3_11_on() -> None:
    usage = USAGE | {
        "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 20}
    }  # fmt: skip
    llm = llm_of(with_ai({"proxy": {"meta": META, "usage": usage}}))
    assert (llm["input_tokens"], llm["cached_tokens"], llm["reasoning_tokens"]) == (101, 64, 20)


def test_input_always_includes_the_cached_tokens() -> None:
    usage = USAGE | {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 64}}
    assert llm_of(with_ai({"proxy": {"meta": META, "usage": usage}}))["input_tokens"] == 74


@pytest.mark.parametrize(
    "ai", [[], "x", 7, {}, {"proxy": []}, {"proxy": {"usage": []}}, {"proxy": {"usage": {}}}, {"mcp": {"usage": {}}}]
)
def test_an_unexpected_ai_entry_is_no_llm_call_and_loses_nothing_else(ai: object) -> None:
    data = record_of(with_ai(ai))["data"]
    assert "llm" not in data
    assert data["status"] == 200


@pytest.mark.parametrize("count", [-1, 1.5, "101", True, None, 1e300, 10**13, [], {}])
def test_what_is_no_count_is_left_out(count: object) -> None:
    llm = llm_of(with_ai({"proxy": {"meta": META, "usage": {"prompt_tokens": count, "completion_tokens": 37}}}))
    assert "input_tokens" not in llm
    assert llm["output_tokens"] == 37


@pytest.mark.parametrize(
    ("cost", "written"),
    [
        (3.734999999999999e-05, "0.00003735"),
        (6e-07, "0.0000006"),
        (0, "0"),
        (0.0, "0"),
        (12, "12"),
        (100, "100"),
        (1.1, "1.1"),
        (1e-12, "0.000000000001"),
        (-1, None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_a_cost_is_a_plain_decimal(cost: float, written: str | None) -> None:
    assert plain_decimal(cost) == written


@pytest.mark.parametrize(
    "text",
    [
        '{"request": {"id": "x", "headers": ' + "[" * 100_000,
        "",
        "not json",
        "[]",
        "null",
        "{}",
        '{"request": 7}',
        '{"request": {"id": ""}}',
        '{"request": {"id": "a", "size": 1e999}}',
    ],
)
def test_what_is_no_request_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(NotAnExchange):
        exchange_from_serialize(text)


@pytest.mark.parametrize(
    "change",
    [
        {"latencies": "fast"}, {"latencies": {"request": "7"}}, {"consumer": []}, {"route": {"name": 7}},
        {"response": None}, {"started_at": "now"}, {"tollkeeper": 5}, {"tollkeeper": {"llm": [], "would_refuse": 1}},
        {"authenticated_entity": "x"}, {"source": 1}, {"started_at": 1e300}, {"service": True},
    ],
)  # fmt: skip
def test_a_field_of_an_unexpected_type_is_left_out_and_the_record_kept(change: dict[str, Any]) -> None:
    record = record_of(recorded("keyauth") | change)
    assert record["id"] == "57c5356d2ee54e1943c9142d2181aa70"
    assert record["data"]["method"] == "GET"


@pytest.mark.parametrize(
    ("size", "expected"),
    [(161.0, 161), (161.9, 161), (0, 0), (-1, None), (1e18, None), ("161", None), (True, None)],
)
def test_a_size_is_a_whole_number_of_bytes_and_a_fraction_is_cut_off(size: object, expected: int | None) -> None:
    serialized = recorded("keyauth")
    serialized["request"]["size"] = size
    record = record_of(serialized)
    assert record["data"]["bytes"].get("request") == expected
    assert record["data"]["consumer"]["username"] == "alice", "all else is as ever"
