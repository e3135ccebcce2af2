"""POST /api/v1/events under fire: any bytes, any JSON. Never a 500; and the store that comes of it verifies."""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollkeeper.access.keys import create_api_key
from tollkeeper.app import create_app, create_schema
from tollkeeper.clock import FixedClock
from tollkeeper.config import Settings
from tollkeeper.metering.findings import Kind, Verified
from tollkeeper.metering.verify import verify_events, whole_range
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TYPES = ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"]
Post = Callable[[bytes, str, bool], Any]

# Words that steer random JSON into the branches of our own format.
names = st.sampled_from(
    ["route", "status", "llm", "bytes", "latency_ms", "consumer", "refused", "response", "input_tokens", "cost", "id"]
) | st.text(max_size=4)
numbers = st.integers(-(10**50), 10**50) | st.integers(0, 999) | st.floats() | st.sampled_from([-0.0, 1e400, 10**12])
scalars = st.none() | st.booleans() | numbers | st.text(max_size=8) | st.sampled_from(["1.5", "NaN", "-0", "1e9", ""])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)
times = st.sampled_from(
    ["2026-03-10T11:59:00Z", "2026-03-10T12:59:00.123456789+01:00", "0001-01-02T00:00:00Z", "9999-12-31T23:59:59Z", "x"]
)
words = st.text(max_size=5) | st.sampled_from(["e1", "e2", "kong/node-7", "0" * 32])
events = st.fixed_dictionaries(
    {"id": words, "source": words, "type": st.sampled_from(["kong.request", "kong.llm_request", ""]) | words},
    optional={
        "specversion": st.sampled_from(["1.0", "0.3"]),
        "subject": words | st.none(),
        "time": times | values,
        "data": st.dictionaries(names, values, max_size=5) | values,
        "extension": values,
    },
)
bodies = st.binary(max_size=200) | (values | events | st.lists(events, max_size=4)).map(
    lambda body: json.dumps(body).encode()
)
many = settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(open_engine(f"sqlite:///{tmp_path_factory.mktemp('fuzz') / 'events.db'}"))
    create_schema(database)
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def headers(database: Database) -> dict[str, str]:
    with database.transaction() as session:
        token = create_api_key(session, "fuzzer", ["ingest", "read"], now=NOW).token
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def client(database: Database, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    return create_app(
        Settings(data_dir=tmp_path_factory.mktemp("fuzz-data")), database=database, clock=FixedClock(NOW)
    ).test_client()


@pytest.fixture(scope="module")
def post(client: FlaskClient, headers: dict[str, str]) -> Post:
    def send(body: bytes, content_type: str, is_packed: bool) -> Any:
        sent = {**headers, "Content-Encoding": "gzip"} if is_packed else headers
        return client.post(
            "/api/v1/events",
            data=gzip.compress(body) if is_packed else body,
            content_type=content_type,
            headers=sent,
        )

    return send


@many
@given(body=bodies, content_type=st.sampled_from(TYPES), is_packed=st.booleans())
def test_nothing_that_is_sent_is_an_error_of_ours(post: Post, body: bytes, content_type: str, is_packed: bool) -> None:
    answer = post(body, content_type, is_packed)
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 200:
        sent = json.loads(body)
        counts = answer.json
        assert counts["accepted"] + counts["duplicates"] + len(counts["rejected"]) == (
            len(sent) if isinstance(sent, list) else 1
        )
        assert all(one["error"] for one in counts["rejected"])


@many
@given(body=st.binary(max_size=60))
def test_what_is_no_gzip_is_refused(client: FlaskClient, headers: dict[str, str], body: bytes) -> None:
    sent = {**headers, "Content-Encoding": "gzip"}
    answer = client.post("/api/v1/events", data=b"\x1f\x8b" + body, content_type=TYPES[0], headers=sent)
    assert answer.status_code == 400


def test_whatever_was_taken_is_given_back_and_verifies(
    post: Post, client: FlaskClient, database: Database, headers: dict[str, str]
) -> None:
    @settings(parent=many, max_examples=100)
    @given(batch=st.lists(events, min_size=1, max_size=6))
    def fire(batch: list[dict[str, Any]]) -> None:
        assert post(json.dumps(batch).encode(), TYPES[2], False).status_code == 200

    fire()
    cursor = ""
    while cursor is not None:
        page = client.get(f"/api/v1/events?limit=1000{cursor}", headers=headers)
        assert page.status_code == 200, page.text
        following = page.json and page.json["next_cursor"]
        cursor = following and f"&cursor={following}"
    with database.snapshot() as session:
        found = list(verify_events(session, whole_range(session), Verified(), lambda _: None))
    assert [finding for finding in found if finding.kind != Kind.TWICE] == []
