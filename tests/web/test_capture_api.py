"""POST /api/v1/capture/kong-log: what Kong's http-log posts makes the records that the plugin makes, counted once."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.test_events_api import Key
from tollkeeper_kong.exchange import exchange_from_serialize
from tollkeeper_kong.record import usage_record

URL = "/api/v1/capture/kong-log?node=node-7"
RECORDINGS = sorted(Path(__file__).parents[1].glob("recordings/kong/kong-serialize-*.json"))
A_MINUTE_AGO_MS = int(datetime(2026, 3, 10, 11, 59, tzinfo=UTC).timestamp() * 1000)  # by the clock of these tests


def entry_of(recording: Path) -> bytes:
    """The recorded entry, moved to a time that is past for the clock of these tests."""
    return json.dumps({**json.loads(recording.read_text()), "started_at": A_MINUTE_AGO_MS}).encode()


def post(client: FlaskClient, headers: dict[str, str], body: bytes, url: str = URL) -> Any:
    return client.post(url, data=body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_a_recorded_entry_and_the_plugin_s_record_count_once(
    client: FlaskClient, key_for: Key, recording: Path
) -> None:
    headers = key_for("ingest")
    first = post(client, headers, entry_of(recording))
    assert first.get_json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    record = usage_record(exchange_from_serialize(entry_of(recording)), node="node-7")
    second = client.post("/api/v1/events", data=record, content_type="application/cloudevents+json", headers=headers)
    assert second.get_json() == {"accepted": 0, "duplicates": 1, "rejected": []}


def test_a_batch_is_stored_though_one_entry_is_none(client: FlaskClient, key_for: Key) -> None:
    good = [json.loads(entry_of(path)) for path in RECORDINGS]
    body = json.dumps([good[0], {"request": {}}, *good[1:]]).encode()
    answer = post(client, key_for("ingest"), body).get_json()
    assert answer["accepted"] == len(RECORDINGS)
    assert [one["index"] for one in answer["rejected"]] == [1]
    assert "/request/id" in answer["rejected"][0]["error"]


@pytest.mark.parametrize(
    "bad", [b"[" * 5_000 + b"]" * 5_000, b"NaN", b"{}", b'{"request": {"id": "a", "size": 1e999}}'], ids=len
)
def test_an_entry_that_is_no_sound_json_is_rejected_alone(client: FlaskClient, key_for: Key, bad: bytes) -> None:
    answer = post(client, key_for("ingest"), b"[" + bad + b"," + entry_of(RECORDINGS[0]) + b"]")
    assert (answer.status_code, answer.get_json()["accepted"]) == (200, 1)
    assert [one["index"] for one in answer.get_json()["rejected"]] == [0]


@pytest.mark.parametrize("url", ["/api/v1/capture/kong-log", "/api/v1/capture/kong-log?node=a%20b"])
def test_the_node_must_be_named(client: FlaskClient, key_for: Key, url: str) -> None:
    answer = post(client, key_for("ingest"), entry_of(RECORDINGS[0]), url)
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["path"] == "/node"


@pytest.mark.parametrize("body", [b"[{", b"", b"[1, 2", b"\xff\xfe", b"[" * 100_000], ids=len)
def test_a_body_that_is_no_json_is_refused_or_rejected_never_a_500(
    client: FlaskClient, key_for: Key, body: bytes
) -> None:
    answer = post(client, key_for("ingest"), body)
    assert answer.status_code == 400 or answer.get_json()["accepted"] == 0


def test_another_scope_may_not_capture(client: FlaskClient, key_for: Key) -> None:
    assert post(client, key_for("read"), entry_of(RECORDINGS[0])).status_code == 403
