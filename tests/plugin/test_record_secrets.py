"""Whatever a client sends, no header, query string, URL or body reaches a usage record."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollkeeper_kong.exchange import exchange_from_serialize
from tollkeeper_kong.record import usage_record

SERIALIZED = (Path(__file__).parent.parent / "recordings/kong/kong-serialize-ai-chat.json").read_text()
SECRET = "s3cr3t-k3y"
EXPECTED = json.loads(usage_record(exchange_from_serialize(SERIALIZED), node="n"))

hostile_text = st.builds(
    lambda before, after: f"{before}{SECRET}{after}",
    st.text(st.characters(codec=None, exclude_categories=())),
    st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)),  # bytes that are not UTF-8
)
hostile_value: st.SearchStrategy[Any] = st.one_of(
    hostile_text, st.lists(hostile_text), st.just(True), st.integers(), st.dictionaries(hostile_text, hostile_text)
)
hostile_map = st.dictionaries(st.one_of(hostile_text, st.sampled_from(["apikey", "cookie"])), hostile_value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers=hostile_map, answer=hostile_map, query=hostile_map, url=hostile_text, payload=hostile_value)
def test_no_secret_reaches_the_record(
    headers: dict[str, Any], answer: dict[str, Any], query: dict[str, Any], url: str, payload: object
) -> None:
    serialized = json.loads(SERIALIZED)
    serialized["request"] |= {"headers": headers, "querystring": query, "url": url, "uri": url}
    serialized["response"]["headers"] = answer
    serialized |= {"upstream_uri": url, "client_ip": SECRET, "tries": [{"ip": SECRET}]}
    serialized["route"] |= {"paths": [url], "hosts": [url]}
    serialized["service"] |= {"host": SECRET, "path": url}
    serialized["ai"]["proxy"]["payload"] = {"request": payload, "response": payload}
    text = json.dumps(serialized, ensure_ascii=False)
    for form in (text, text.encode("utf-8", "surrogatepass")):
        written = usage_record(exchange_from_serialize(form), node="n")
        assert SECRET.encode() not in written
        assert json.loads(written) == EXPECTED


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=200))
def test_a_header_of_any_bytes_never_loses_the_record(raw: bytes) -> None:
    """Kong writes header bytes as they came; the socket's unpacker hands on what is not UTF-8 as surrogates."""
    inside = raw.replace(b"\\", b"").replace(b'"', b"")
    inside = bytes(byte for byte in inside if byte >= 0x20)
    wire = SERIALIZED.encode().replace(b'"REDACTED"', b'"' + inside + b'"')
    text = wire.decode("utf-8", "surrogateescape")
    assert json.loads(usage_record(exchange_from_serialize(text), node="n")) == EXPECTED
    assert json.loads(usage_record(exchange_from_serialize(wire), node="n")) == EXPECTED


@pytest.mark.parametrize("raw", [b"caf\xe9", b"\xff", b"\xed\xb3\xbf", b"\xf0\x9f\x98", b"\xc3\xa9\xc0\x80"])
@pytest.mark.parametrize("name", [b'"alice"', b'"alice-42"', b'"chat"', b'"aisvc"', b'"gpt-4o-mini-2024-07-18"'])
def test_names_of_any_bytes_make_the_same_record_from_the_socket_and_from_the_file(name: bytes, raw: bytes) -> None:
    """Another record under the same id would be a conflict, and set aside."""
    line = SERIALIZED.encode().replace(name, b'"' + raw + b'"')
    written = usage_record(exchange_from_serialize(line), node="n")
    assert "\ufffd" in written.decode()
    assert usage_record(exchange_from_serialize(line.decode("utf-8", "surrogateescape")), node="n") == written


def test_a_path_of_any_bytes_leaves_the_record_as_it_is() -> None:
    line = SERIALIZED.encode().replace(b'"/chat"', b'"/chat/\xff\xfe?q=\xe9"')
    assert json.loads(usage_record(exchange_from_serialize(line), node="n")) == EXPECTED


def test_a_huge_header_and_a_huge_model_name_stay_bounded() -> None:
    serialized = json.loads(SERIALIZED)
    serialized["request"]["headers"]["x-huge"] = "x" * 1_000_000
    serialized["request"]["method"] = "M" * 8_000
    serialized["ai"]["proxy"]["meta"]["response_model"] = "m" * 1_000_000
    assert len(usage_record(exchange_from_serialize(json.dumps(serialized)), node="n")) < 1_200
