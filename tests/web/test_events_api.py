"""POST /api/v1/events at the door: formats, bounds, and one bad event among good ones."""

import gzip
import io
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollkeeper.app import create_app
from tollkeeper.config import Settings
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

URL = "/api/v1/events"
Key = Callable[..., dict[str, str]]


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{number:032x}",
        "source": "kong/node-7",
        "type": "kong.request",
        "subject": "consumer:1",
        "time": "2026-03-10T11:59:00.000Z",
        "data": {"route": "flights", "method": "GET", "status": 200, "bytes": {"request": 1, "response": 2}},
        **changes,
    }


@pytest.fixture
def post(client: FlaskClient, key_for: Key) -> Callable[..., Any]:
    headers = key_for("ingest")

    def send(body: Any, content_type: str = "application/json", **further: str) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(URL, data=raw, content_type=content_type, headers={**headers, **further})

    return send


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (event(), "application/cloudevents+json"),
        ([event()], "application/cloudevents-batch+json"),
        (event(), "application/json"),
        ([event()], "application/json; charset=utf-8"),
    ],
)
def test_each_form_of_cloudevents_is_taken(post: Callable[..., Any], body: Any, content_type: str) -> None:
    answer = post(body, content_type)
    assert (answer.status_code, answer.json) == (200, {"accepted": 1, "duplicates": 0, "rejected": []})


def test_gzip_is_unpacked_and_a_repeat_counts_once(post: Callable[..., Any]) -> None:
    packed = gzip.compress(json.dumps([event(1), event(2)]).encode())
    assert post(packed, **{"Content-Encoding": "gzip"}).json["accepted"] == 2
    again = post(packed, **{"Content-Encoding": "gzip"}).json
    assert again == {"accepted": 0, "duplicates": 2, "rejected": []}


def test_a_zip_bomb_is_refused_without_being_unpacked(post: Callable[..., Any]) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(b"[" + b" " * (200 << 20)) + packer.flush()
    assert len(bomb) < 300_000
    assert post(bomb, **{"Content-Encoding": "gzip"}).status_code == 413


@pytest.mark.parametrize("body", [b"\x1f\x8b\x08rubbish", gzip.compress(b"[]", mtime=0)[:-9]])
def test_broken_gzip_is_malformed(post: Callable[..., Any], body: bytes) -> None:
    assert post(body, **{"Content-Encoding": "gzip"}).status_code == 400


def test_the_answer_is_the_contract_s(post: Callable[..., Any]) -> None:
    contract = json.loads((Path(__file__).parent.parent / "contract/events-answer.json").read_text())
    post([event(2)])
    future = event(3, id="abc", time="2026-03-10T12:05:00.001Z")
    assert post([event(1), event(2), future]).json == contract


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"specversion": "0.3"}, "/specversion: must be '1.0', not '0.3'"),
        ({"id": ""}, "/id: expected `str` of length >= 1"),
        ({"source": 5}, "/source: expected `str`, got `int`"),
        ({"time": "yesterday"}, "/time: is no RFC 3339 time with an offset; write it like 2026-11-22T07:29:57.926Z"),
        ({"time": "2026-03-10T11:00:00"}, "/time: is no RFC 3339 time with an offset; write it like "),
        ({"subject": "a\x00b"}, "/subject: holds a NUL character"),
        ({"data": {"route": {"a": 1}}}, "/data/route: expected `str | null`, got `object`"),
        ({"data": {"status": "abc"}}, "/data/status: expected `int | null`, got `str`"),
        ({"data": {"route": "a\x00b"}}, "/data: holds a NUL character in a dimension"),
        ({"data": {"x": "a" * 70_000}}, "/data: is larger than 64 KiB"),
        ({"data": {"llm": {"model": "m", "cost": "9" * 70_000}}}, "/data: is larger than 64 KiB"),
        ({"data": [1]}, "/data: must be an object"),
    ],
)
def test_a_bad_event_is_refused_by_its_path_and_its_neighbours_are_stored(
    post: Callable[..., Any], bad: dict[str, Any], error: str
) -> None:
    answer = post([event(1), event(2, **bad), event(3)]).json
    assert answer["accepted"] == 2
    assert [(one["index"], one["error"].startswith(error)) for one in answer["rejected"]] == [(1, True)], answer


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b'{"id":"1","id":"2","source":"s","type":"t"}', "has the key 'id' twice"),
        (b'{"id":"1","source":"s","type":"t","data":{"a":{"b":1,"b":1}}}', "has the key 'b' twice"),
        (b'{"id":"1","source":"s","type":"t","data":{"a":1,"a":2,"b":[1e5,1e5,1e5,1e5,1e5,1e5]}}', "the key 'a' twice"),
        (b'{"id":"1","source":"s","type":"t","data":{"a":1,"a":2,"b":[1e-5,1e-5]}}', "has the key 'a' twice"),
        (b'{"id":"1","source":"s","type":"t","data":"\xff"}', "is no JSON"),
        (b'{"id":"1","source":"s","type":"t","data":' + b"9" * 5_000 + b"}", "value out of range"),
        (b'{"id":"1","source":"s","type":"t","data":"\\ud800"}', "is no JSON"),
        (b'{"id":"1","source":"s","type":"t","data":NaN}', "is no JSON"),
        (b"7", "expected `object`, got `int`"),
    ],
)
def test_what_is_no_sound_json_object_is_refused_alone(post: Callable[..., Any], raw: bytes, error: str) -> None:
    good = json.dumps(event()).encode()
    answer = post(b"[" + good + b"," + raw + b"]")
    assert answer.status_code == 200
    assert answer.json["accepted"] == 1
    assert error in answer.json["rejected"][0]["error"]


@pytest.mark.parametrize("raw", [b"", b"7", b"nonsense", b"[1", b'{"a":', b"[" * 100_000, b"\xff\xfe", b"[1]x"])
def test_a_body_that_is_no_json_is_malformed(post: Callable[..., Any], raw: bytes) -> None:
    answer = post(raw)
    assert answer.status_code == 400, answer.text
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("depth", [65, 900, 5_000])
def test_deep_data_is_refused_and_its_neighbours_are_stored(post: Callable[..., Any], depth: int) -> None:
    deep = b'{"id":"1","source":"s","type":"t","data":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    answer = post(b"[" + json.dumps(event(1)).encode() + b"," + deep + b"]")
    assert answer.json["accepted"] == 1
    assert answer.json["rejected"][0]["error"] == "/data: is nested deeper than 64 levels"


def test_too_many_events_are_refused_as_a_whole(post: Callable[..., Any]) -> None:
    assert post(b"[" + b",".join([b"{}"] * 10_001) + b"]").status_code == 413


def test_too_large_a_body_is_refused(post: Callable[..., Any]) -> None:
    assert post(b"[" + b" " * (16 << 20) + b"]").status_code == 413


def test_another_content_type_or_encoding_is_refused(post: Callable[..., Any]) -> None:
    assert post(event(), "text/plain").status_code == 415
    assert post(event(), **{"Content-Encoding": "br"}).status_code == 415


def test_a_content_type_that_promises_one_event_takes_no_array(post: Callable[..., Any]) -> None:
    assert post([event()], "application/cloudevents+json").status_code == 400
    assert post(event(), "application/cloudevents-batch+json").status_code == 400


def test_an_empty_batch_is_no_error(post: Callable[..., Any]) -> None:
    assert post([]).json == {"accepted": 0, "duplicates": 0, "rejected": []}


def test_only_a_key_with_the_scope_may_send_events(client: FlaskClient, key_for: Key) -> None:
    assert client.post(URL, json=event()).status_code == 401
    assert client.post(URL, json=event(), headers=key_for("read")).status_code == 403


def test_a_database_that_is_away_is_answered_with_when_to_try_again(tmp_path: Path) -> None:
    away = Database(open_engine("postgresql://nobody@127.0.0.1:1/nothing"))
    client = create_app(Settings(data_dir=tmp_path), database=away).test_client()
    answer = client.post(URL, json=event(), headers={"Authorization": f"Bearer tk_{0:026x}_{0:064x}"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


def test_more_than_the_worker_may_hold_is_sent_away_unread_and_taken_later(
    app: Flask, post: Callable[..., Any]
) -> None:
    intake = app.extensions["tollkeeper"].intake
    with intake.hold(intake.most_bytes - 10):
        full = post([event(1)])
        assert (full.status_code, full.json["code"]) == (503, "intake_full")
        assert int(full.headers["Retry-After"]) >= 1
    assert post([event(1)]).json == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert intake.held_bytes == 0


def test_a_packed_body_counts_as_what_it_unpacks_to(app: Flask, post: Callable[..., Any]) -> None:
    intake = app.extensions["tollkeeper"].intake
    packed = gzip.compress(json.dumps([event(1)]).encode() + b" " * 100_000)
    with intake.hold(intake.most_bytes - 50_000):
        assert post(packed, **{"Content-Encoding": "gzip"}).status_code == 503
    assert post(packed, **{"Content-Encoding": "gzip"}).json["accepted"] == 1
    assert post(packed[:-9], **{"Content-Encoding": "gzip"}).status_code == 400
    assert intake.held_bytes == 0


def test_a_sender_that_stops_in_the_middle_keeps_no_room_from_others(
    app: Flask, client: FlaskClient, key_for: Key
) -> None:
    intake = app.extensions["tollkeeper"].intake
    held = []

    class Stalled(io.RawIOBase):
        def readinto(self, buffer: Any) -> int:
            held.append(intake.held_bytes)
            return 0

    promised = {"wsgi.input": Stalled(), "CONTENT_LENGTH": str(16 << 20)}
    client.post(URL, content_type="application/json", headers=key_for("ingest"), environ_overrides=promised)
    assert (held, intake.held_bytes) == ([0], 0)


def test_many_small_values_count_as_the_memory_that_they_take(app: Flask, post: Callable[..., Any]) -> None:
    """200,001 lists of nothing are 0.6 MB of text, and take as much memory as 2 MB of usual text and more."""
    intake = app.extensions["tollkeeper"].intake
    body = b"[" + b"[]," * 200_000 + b"1]"
    with intake.hold(intake.most_bytes - 2_000_000):
        assert post(body).status_code == 503
    assert post(body).status_code == 413
    assert intake.held_bytes == 0


def test_gzip_in_many_members_is_read_to_its_end(post: Callable[..., Any]) -> None:
    body = json.dumps([event(number) for number in range(3)]).encode()
    members = [gzip.compress(body[place : place + 1]) for place in range(len(body))]
    spaces = gzip.compress(b" " * (1 << 20))
    packed = b"".join([spaces, *members, spaces, gzip.compress(b"")])
    assert post(packed, **{"Content-Encoding": "gzip"}).json["accepted"] == 3
    assert post(packed + gzip.compress(b" ")[:12], **{"Content-Encoding": "gzip"}).status_code == 400
    assert post(packed + b"no gzip", **{"Content-Encoding": "gzip"}).status_code == 400


def test_a_body_of_empty_gzip_members_costs_no_more_than_its_length(post: Callable[..., Any]) -> None:
    """Each of 200,000 members is 20 bytes; copying what is left for each would be 400 GB."""
    started = time.process_time()
    assert post(gzip.compress(b"") * 200_000, **{"Content-Encoding": "gzip"}).status_code == 400
    assert time.process_time() - started < 10


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_bytes_make_an_error_of_ours(post: Callable[..., Any], data: st.DataObject) -> None:
    """A sound batch with some bytes overwritten: each event is stored, a repeat, or refused with a reason."""
    body = bytearray(json.dumps([event(number) for number in range(3)], separators=(",", ":")).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + 1] = data.draw(
            st.sampled_from([b"", b"\xff", b'"', b"{", b"]", b",", b"\\u0000", b"\\ud800", b"9" * 50, b"NaN", b"\x00"])
        )
    answer = post(bytes(body))
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 200:
        counts = answer.json
        assert all(one["error"] for one in counts["rejected"])
        assert counts["accepted"] + counts["duplicates"] + len(counts["rejected"]) > 0


def test_events_are_listed_by_whose_usage_they_were(client: FlaskClient, key_for: Key) -> None:
    headers = key_for("ingest", "read", "write")
    batch = [event(number, time=f"2026-03-{number:02}T00:00:00Z") for number in (1, 2, 3)]
    client.post(URL, json=[*batch, event(4, subject="consumer:2", time="2026-03-02T00:00:00Z")], headers=headers)
    for key, since in (("acme", "2026-03-01T12:00:00Z"), ("other", "2026-03-02T12:00:00Z")):
        client.post("/api/v1/customers", json={"key": key, "name": key}, headers=headers)
        mapping = {"match": "subject", "value": "consumer:1", "since": since, "move": key == "other"}
        assert client.post(f"/api/v1/customers/{key}/consumers", json=mapping, headers=headers).status_code == 201

    def days_of(**query: str) -> list[str]:
        answer = client.get(URL, query_string=query, headers=headers)
        assert answer.json
        return [one["time"][:10] for one in answer.json["items"]]

    assert days_of(customer="acme") == ["2026-03-02"]
    assert days_of(customer="other") == ["2026-03-03"]
    assert days_of(customer="other", to="2026-03-03T00:00:00Z") == []
    assert client.get(URL, query_string={"customer": "nobody"}, headers=headers).status_code == 404
