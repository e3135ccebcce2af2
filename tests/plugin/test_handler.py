"""What the two phases ask of Kong, decide and record."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from msgspec import structs

from tests.plugin.phases import ALICE, CONSUMER, KONG, RECORDINGS, SERIALIZED, TestNode, mapped, run, spent
from tollkeeper_kong.engine import Engine
from tollkeeper_kong.feed import FeedLimit

FRESH = FeedLimit(
    "lim_2", "flights_ok", "requests", "allow", limit="1000", used="600", resets_at="2026-11-22T08:30:00.000Z"
)
CHAT = (RECORDINGS / "kong-serialize-keyauth.json").read_text().replace('"text/plain', '"application/json')


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    node = TestNode(tmp_path)
    yield node
    node.spool.close()


# What it costs


def test_a_request_that_passes_costs_one_call_in_access_and_one_in_log(node: TestNode) -> None:
    node.know(mapped())
    plugin = node.plugin()
    assert run(plugin.access()).methods == ["client.get_consumer"]
    assert run(plugin.log()).methods == ["log.serialize"]


def test_a_configuration_of_one_consumer_asks_nothing_in_access(node: TestNode) -> None:
    node.know(mapped())
    assert run(node.plugin(consumer_id=ALICE).access()).methods == []


def test_without_enforcement_access_asks_nothing_and_log_still_records(node: TestNode) -> None:
    plugin = node.plugin(enforce="off")
    assert run(plugin.access()).methods == []
    run(plugin.log())
    assert [record["id"] for record in node.records()] == [json.loads(SERIALIZED)["request"]["id"]]


def test_the_route_is_asked_for_only_where_a_limit_names_routes(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", spent(route_ids=("route-2",))))
    assert run(node.plugin().access()).methods == ["client.get_consumer", "router.get_route"]
    assert run(node.plugin(route_id="route-9").access()).methods == ["client.get_consumer"]
    assert run(node.plugin(route_id="route-9", consumer_id=ALICE).access()).methods == []


def test_a_spent_limit_on_everything_refuses_before_kong_is_asked_for_the_route(node: TestNode) -> None:
    on_a_route = structs.replace(spent(route_ids=("route-2",)), id="lim_2")
    node.know(mapped(f"consumer:{ALICE}", spent(), on_a_route))
    assert run(node.plugin().access()).methods == ["client.get_consumer", "response.exit"]


def test_a_limit_on_the_request_s_route_refuses_and_one_on_another_does_not(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", spent(route_ids=("route-1",))))
    assert run(node.plugin().access()).exit is not None
    assert run(node.plugin(route_id="route-1").access()).exit is not None
    assert run(node.plugin(route_id="route-2").access()).exit is None


def test_a_limit_on_a_route_s_name_is_decided_with_the_name(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", spent(routes=("flights",))))
    assert run(node.plugin().access()).exit is not None


def test_a_limit_on_a_service_is_decided_by_the_route_s_service(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", spent(service_ids=("service-1",))))
    assert run(node.plugin().access()).methods == ["client.get_consumer", "router.get_route", "response.exit"]
    assert run(node.plugin(service_id="service-1").access()).methods == ["client.get_consumer", "response.exit"]


def test_a_limit_on_a_name_binds_where_the_backend_has_never_read_kong_and_knows_no_id(node: TestNode) -> None:
    kong = {**KONG, "kong.router.get_service": {"id": "service-1", "name": "flights-api"}}
    node.know(mapped(f"consumer:{ALICE}", spent(routes=("flights",))))
    assert run(node.plugin(route_id="route-1").access(), kong).exit is not None
    node.know(mapped(f"consumer:{ALICE}", spent(services=("flights-api",))))
    assert run(node.plugin().access(), kong).exit is not None
    assert run(node.plugin(service_id="service-1").access(), kong).exit is not None
    node.know(mapped(f"consumer:{ALICE}", spent(services=("bookings-api",), service_ids=("service-9",))))
    assert run(node.plugin().access(), kong).exit is None


def test_a_configuration_of_a_route_or_service_asks_for_its_name_once(node: TestNode) -> None:
    kong = {**KONG, "kong.router.get_service": {"id": "service-1", "name": "flights-api"}}
    node.know(mapped(f"consumer:{ALICE}", spent(routes=("other",), services=("other",))))
    plugin = node.plugin(route_id="route-1", service_id="service-1", consumer_id=ALICE)
    assert run(plugin.access(), kong).methods == ["router.get_route", "router.get_service"]
    assert run(plugin.access(), kong).methods == []
    plugin = node.plugin(consumer_id=ALICE)
    assert run(plugin.access(), kong).methods == ["router.get_route", "router.get_service"]
    assert run(plugin.access(), kong).methods == ["router.get_route"], "the next request may be of another route"


def test_a_limit_on_models_binds_where_the_configuration_names_the_model(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", spent(models=("gpt-4o", "gpt-4o-mini"))))
    assert run(node.plugin(model="gpt-4o").access()).exit is not None
    assert run(node.plugin(model="o3").access()).exit is None
    assert run(node.plugin().access()).exit is None, "the model is not known before the answer"
    node.know(mapped(f"consumer:{ALICE}", spent(models=("gpt-4o",), routes=("flights",))))
    assert run(node.plugin(model="gpt-4o").access()).exit is not None


def test_a_limit_on_methods_asks_for_the_method(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", spent(methods=("POST",))))
    assert run(node.plugin().access()).methods == ["client.get_consumer", "request.get_method"]
    assert run(node.plugin().access(), {**KONG, "kong.request.get_method": "POST"}).exit is not None


# Refusals


def test_a_refusal_says_why_in_status_body_and_headers_of_one_message(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", spent()))
    refused = run(node.plugin(docs_url="https://example.com/quota").access())
    assert refused.methods == ["client.get_consumer", "response.exit"]
    assert refused.exit is not None
    status, body, headers = refused.exit
    assert status == 429
    assert body == {
        "message": "1000 of 1000 used", "code": "quota_exhausted", "limit_id": "lim_1", "feature": "flights_ok",
        "limit": "1000", "used": "1000", "resets_at": "2026-11-22T08:30:00.000Z",
        "docs_url": "https://example.com/quota",
    }  # fmt: skip
    assert headers["Retry-After"] == "3600"
    assert headers["RateLimit-Limit"] == "1000"
    assert headers["RateLimit-Remaining"] == "0"
    assert headers["X-Tollkeeper-Refused"] == "quota_exhausted lim_1"
    assert headers["Content-Type"].startswith("application/json")
    assert dict(node.node.counters.refused) == {"quota_exhausted": 1}


def test_shadow_lets_a_spent_quota_pass_and_notes_what_it_would_have_done(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", spent()))
    shadow = run(node.plugin(enforce="shadow").access())
    assert shadow.exit is None
    assert shadow.calls[1] == (
        "kong.log.set_serialize_value",
        ["tollkeeper.would_refuse", {"code": "quota_exhausted", "limit_id": "lim_1"}],
    )
    assert dict(node.node.counters.would_refuse) == {"quota_exhausted": 1}
    assert not node.node.counters.refused


def test_allowed_requests_carry_quota_headers_only_when_asked(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", FRESH))
    assert run(node.plugin().access()).methods == ["client.get_consumer"]
    told = run(node.plugin(quota_headers=True).access())
    assert told.calls[-1] == (
        "kong.response.set_headers",
        [{"X-Quota-Limit": "1000", "X-Quota-Remaining": "398", "X-Quota-Reset": "1795336200"}],
    )


# Failure policies, each with its default first


def test_before_the_first_verdicts_requests_pass_unless_on_unknown_is_deny(node: TestNode) -> None:
    assert run(node.plugin().access()).exit is None
    refused = run(node.plugin(on_unknown="deny").access()).exit
    assert refused is not None
    assert (refused[0], refused[1]["code"]) == (503, "verdicts_unknown")


def test_verdicts_hold_until_they_are_stale_and_then_requests_pass_unless_on_stale_is_deny(node: TestNode) -> None:
    node.know(mapped(f"consumer:{ALICE}", spent()))
    node.clock.seconds += 899
    assert run(node.plugin().access()).exit is not None
    node.clock.seconds += 2
    assert run(node.plugin().access()).exit is None
    refused = run(node.plugin(on_stale="deny").access()).exit
    assert refused is not None
    assert (refused[0], refused[1]["code"]) == (503, "verdicts_stale")
    assert run(node.plugin(max_stale_seconds=3600).access()).exit is not None


@pytest.mark.parametrize("consumer", [None, {"id": "unknown"}, "garbage", {}])
def test_who_belongs_to_no_customer_passes_unless_deny_unmapped_is_on(node: TestNode, consumer: Any) -> None:
    node.know(mapped())
    kong = {**KONG, "kong.client.get_consumer": consumer}
    assert run(node.plugin().access(), kong).exit is None
    refused = run(node.plugin(deny_unmapped=True).access(), kong).exit
    assert refused is not None
    assert (refused[0], refused[1]["code"]) == (403, "unmapped")
    assert run(node.plugin(deny_unmapped=True).access()).exit is None


def test_a_full_spool_drops_its_oldest_records_unless_on_spool_full_is_deny(tmp_path: Path) -> None:
    node = TestNode(tmp_path, max_bytes=40_000)
    run(node.plugin().log())
    for _ in range(200):
        run(node.plugin().log())
        node.spool.flush()
    assert node.spool.is_full
    assert run(node.plugin().access()).exit is None
    assert node.spool.counters.dropped_oldest > 0
    refused = run(node.plugin(on_spool_full="deny").access()).exit
    assert refused is not None
    assert (refused[0], refused[1]["code"], refused[2]["Retry-After"]) == (503, "metering_unavailable", "5")
    node.spool.close()


def test_our_own_bug_lets_the_request_pass_unless_fault_tolerant_is_off(node: TestNode) -> None:
    assert node.plugin().failure_answer("access") is None
    answer = node.plugin(fault_tolerant=False).failure_answer("access")
    assert answer is not None
    assert answer.method == "kong.response.exit"
    assert node.plugin(fault_tolerant=False).failure_answer("log") is None


def test_a_configuration_of_another_version_falls_back_to_defaults_and_is_counted(node: TestNode) -> None:
    plugin = node.plugin(enforce="maybe", on_stale=7, unheard_of=1, __plugin_id="p", deny_unmapped=None)
    assert plugin.enforce == "on"
    assert node.node.counters.config_problems == 1


# Whom a request is attributed to

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhY21lLTciLCJvcmciOjQyfQ.c2ln"  # {"sub": "acme-7", "org": 42}
DEEP = b64encode(b"[" * 12_000).decode()


@pytest.mark.parametrize(
    ("subject_from", "answers", "subject"),
    [
        ("consumer", {"client.get_consumer": CONSUMER}, f"consumer:{ALICE}"),
        ("credential", {"client.get_credential": {"id": "cred-1"}}, "credential:cred-1"),
        ("header:X-Team", {"request.get_header": "red"}, "header:x-team:red"),
        ("header:X-Team", {"request.get_header": None}, "anonymous"),
        ("header:X-Team", {"request.get_header": ""}, "anonymous"),
        ("header:X-Team", {"request.get_header": "caf\udce9"}, "anonymous"),
        ("header:X-Team", {"request.get_header": "a\nb"}, "anonymous"),
        ("header:X-Team", {"request.get_header": "x" * 242}, "header:x-team:" + "x" * 242),
        ("header:X-Team", {"request.get_header": "x" * 243}, "anonymous"),  # 257, longer than the backend takes
        ("jwt_claim:sub", {"request.get_header": f"Bearer {JWT}"}, "jwt_claim:sub:acme-7"),
        ("jwt_claim:org", {"request.get_header": f"bearer {JWT}"}, "jwt_claim:org:42"),
        ("jwt_claim:nobody", {"request.get_header": f"Bearer {JWT}"}, "anonymous"),
        ("jwt_claim:sub", {"request.get_header": "Bearer a.b"}, "anonymous"),
        ("jwt_claim:sub", {"request.get_header": "Bearer a.\u20ac.c"}, "anonymous"),
        ("jwt_claim:sub", {"request.get_header": "Bearer a.W10.c"}, "anonymous"),
        ("jwt_claim:sub", {"request.get_header": "Basic YTpi"}, "anonymous"),
        ("jwt_claim:sub", {"request.get_header": f"Bearer a.{DEEP}.c"}, "anonymous"),
        ("jwt_claim:sub", {"request.get_header": ["two"]}, "anonymous"),
        ("nonsense", {"client.get_consumer": CONSUMER}, f"consumer:{ALICE}"),
    ],
)
def test_the_subject_is_what_the_configuration_names(
    node: TestNode, subject_from: str, answers: dict[str, Any], subject: str
) -> None:
    kong = {f"kong.{method}": answer for method, answer in answers.items()}
    node.know(mapped(subject, spent()))
    plugin = node.plugin(subject_from=subject_from)
    asked = run(plugin.phases["access"](), kong)
    assert asked.exit is not None, "the limit of this very subject is decided"
    published = [arguments for method, arguments in asked.calls if method == "kong.log.set_serialize_value"]
    is_told = subject_from.startswith(("credential", "header", "jwt"))
    assert published == ([["tollkeeper.subject", subject]] if is_told else [])
    assert len(asked.calls) == (3 if is_told else 2)


@pytest.mark.parametrize("subject_from", ["credential", "header:x-team", "jwt_claim:sub"])
def test_a_request_that_kong_refused_before_access_is_its_consumer_s_in_every_capture(
    node: TestNode, subject_from: str
) -> None:
    """A header that nobody has looked at names nobody: who guesses at keys must not fill another's account."""
    kong = {**KONG, "kong.request.get_header": "red"}
    assert run(node.plugin(subject_from=subject_from).log(), kong).methods == ["log.serialize"]
    assert [record["subject"] for record in node.records()] == [f"consumer:{ALICE}"]


def test_the_record_takes_the_subject_that_access_wrote_down_and_asks_no_more(node: TestNode) -> None:
    """Kong saves a hundred headers for its log phase: a client that sends more could make the named one disappear."""
    serialized = json.dumps(json.loads(SERIALIZED) | {"tollkeeper": {"subject": "header:x-team:red"}})
    kong = {"kong.log.serialize": serialized, "kong.request.get_header": None}
    assert run(node.plugin(subject_from="header:x-team").log(), kong).methods == ["log.serialize"]
    assert [record["subject"] for record in node.records()] == ["header:x-team:red"]


def test_without_enforcement_a_header_s_subject_is_written_down_all_the_same(node: TestNode) -> None:
    plugin = node.plugin(enforce="off", subject_from="header:x-team")
    asked = run(plugin.phases["access"](), {"kong.request.get_header": "red"})
    assert asked.methods == ["request.get_header", "log.set_serialize_value"]


# Records


def test_log_makes_the_record_of_the_request(node: TestNode) -> None:
    run(node.plugin().log())
    (record,) = node.records()
    assert record["source"] == "kong/node-7"
    assert record["subject"] == f"consumer:{ALICE}"
    assert record["data"]["status"] == 200
    assert (node.node.counters.recorded, node.node.counters.recorded_after_access) == (1, 1)


def test_a_byte_that_is_not_utf8_in_a_header_loses_no_record(node: TestNode) -> None:
    hostile = SERIALIZED.replace('"curl/7.88.1"', '"\udce9\udcff"')
    assert hostile != SERIALIZED
    run(node.plugin().log(), {"kong.log.serialize": hostile})
    assert len(node.records()) == 1


def test_a_log_event_that_is_no_request_is_counted(node: TestNode) -> None:
    with pytest.raises(ValueError, match="request"):
        run(node.plugin().log(), {"kong.log.serialize": "{}"})
    assert node.node.counters.unreadable == 1


BODY = b'{"model":"gpt-4o-mini","usage":{"prompt_tokens":101,"completion_tokens":37}}'


def test_a_buffered_answer_gives_exact_tokens(node: TestNode) -> None:
    plugin = node.plugin(buffer_response=True)
    asked = run(plugin.access())
    assert asked.calls[1:] == [
        ("kong.service.request.set_header", ["Accept-Encoding", "identity"]),
        ("kong.service.request.enable_buffering", []),
    ]
    kong = {"kong.log.serialize": CHAT, "kong.service.response.get_raw_body": BODY}
    assert run(plugin.log(), kong).methods == ["log.serialize", "service.response.get_raw_body"]
    (record,) = node.records()
    assert (record["data"]["llm"]["input_tokens"], record["data"]["llm"]["output_tokens"]) == (101, 37)


def test_a_client_that_asks_for_a_stream_on_a_buffered_route_is_metered_all_the_same(node: TestNode) -> None:
    stream = CHAT.replace("application/json", "text/event-stream")
    kong = {"kong.log.serialize": stream, "kong.service.response.get_raw_body": b"data: " + BODY + b"\n\n"}
    run(node.plugin(buffer_response=True).log(), kong)
    (record,) = node.records()
    assert (record["data"]["llm"]["input_tokens"], record["data"]["llm"]["stream"]) == (101, True)


def test_the_body_of_an_answer_that_is_no_usage_report_of_the_upstream_is_not_asked_for(node: TestNode) -> None:
    plugin = node.plugin(buffer_response=True)
    refused = (RECORDINGS / "kong-serialize-401.json").read_text()
    for serialized in (refused, SERIALIZED):
        assert run(plugin.log(), {"kong.log.serialize": serialized}).methods == ["log.serialize"]


def test_a_body_that_kong_does_not_hand_out_loses_the_tokens_and_not_the_record(node: TestNode) -> None:
    """Kong ends its timer when a body was not buffered: the event is abandoned and closed in time."""
    steps = node.plugin(buffer_response=True).log()
    assert steps.send(None).method == "kong.log.serialize"
    assert steps.send(CHAT).method == "kong.service.response.get_raw_body"
    steps.close()
    assert len(node.records()) == 1


@pytest.mark.parametrize(("fault_tolerant", "ends_with"), [(True, "ret"), (False, 500)])
def test_a_bug_in_access_passes_or_answers_500_and_is_counted(
    node: TestNode, fault_tolerant: bool, ends_with: object
) -> None:
    plugin = node.plugin(fault_tolerant=fault_tolerant)
    vars(plugin)["_source"] = None  # a bug
    engine = Engine({"tollkeeper": lambda config: plugin})
    config = {"Name": "tollkeeper", "Config": "{}"}
    started = msgpack.unpackb(engine.answer([0, 1, "plugin.StartInstance", [config]]))[3]
    event = {"InstanceId": started["Id"], "EventName": "access"}
    told = msgpack.unpackb(engine.answer([0, 2, "plugin.HandleEvent", [event]]))[3]["Data"]
    assert (told if told == "ret" else told["Args"][0]) == ends_with
    assert engine.counters.of_phase["access"].failed == 1
    assert len(engine.waiting) == 0
