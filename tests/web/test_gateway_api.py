"""What gateway nodes call, through the door."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from tests.shop import T0, add_customer, add_feature, add_plan, metered, use
from tests.waiting import PATIENCE_SECONDS, eventually
from tollkeeper.clock import FixedClock
from tollkeeper.entitlements.nodes import list_nodes
from tollkeeper.entitlements.refresh import refresh_verdicts
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import subscribe

CONTRACT = Path(__file__).parent.parent / "contract"
Headers = Callable[..., dict[str, str]]


@pytest.fixture
def quota(database: Database, clock: FixedClock) -> None:
    """Acme may make 10 calls a month; alice made 9."""
    with database.transaction() as session:
        add_feature(session, "calls")
        add_plan(session, "free", metered("calls", "calls", "10"))
        add_customer(session, "acme", "alice")
        subscribe(session, "acme", "free", start=T0, now=T0)
        use(session, "alice", clock.now(), 9)
        refresh_verdicts(session, now=clock.now())


def test_the_feed_has_the_keys_of_the_contract(quota: None, client: FlaskClient, key_for: Headers) -> None:
    contract = json.loads((CONTRACT / "verdicts.json").read_text())
    feed = client.get("/api/v1/gateway/verdicts", headers=key_for("gateway")).get_json()
    assert feed.keys() == contract.keys()
    assert feed["subjects"][0].keys() == contract["subjects"][0].keys()
    limit, in_contract = feed["subjects"][0]["limits"][0], contract["subjects"][0]["limits"][0]
    assert limit.keys() == in_contract.keys()
    assert limit["scope"].keys() == in_contract["scope"].keys()
    assert [type(value) for value in limit.values()] == [type(limit[name]) for name in limit]
    assert feed["generated_at"] == "2026-03-10T12:00:00.000Z"


@pytest.mark.parametrize("scope", ["read", "ingest", "write"])
def test_other_keys_get_no_feed(scope: str, client: FlaskClient, key_for: Headers) -> None:
    assert client.get("/api/v1/gateway/verdicts", headers=key_for(scope)).status_code == 403
    assert client.post("/api/v1/gateway/heartbeat", headers=key_for(scope), json={}).status_code == 403


def test_a_poll_waits_for_news_and_holds_no_connection(
    quota: None, app: Flask, database: Database, clock: FixedClock, key_for: Headers
) -> None:
    headers = key_for("gateway")
    cursor = app.test_client().get("/api/v1/gateway/verdicts", headers=headers).get_json()["cursor"]
    answers = []

    def poll() -> None:
        path = f"/api/v1/gateway/verdicts?wait=20&cursor={cursor}"
        answers.append(app.test_client().get(path, headers=headers).get_json())

    returned: list[object] = []
    event.listen(database.engine, "checkin", lambda *given: returned.append(given))
    waiting = threading.Thread(target=poll)
    waiting.start()
    eventually(lambda: len(returned) >= 3)  # the key was looked up, and twice whether there is news
    eventually(lambda: database.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]  # QueuePool has it
    assert waiting.is_alive()
    with database.transaction() as session:
        use(session, "alice", clock.now())
        refresh_verdicts(session, now=clock.now())
    waiting.join(PATIENCE_SECONDS)
    assert answers[0]["full"] is False
    assert answers[0]["subjects"][0]["limits"][0]["state"] == "deny"


def test_a_poll_without_news_ends_in_time_with_an_empty_delta(
    quota: None, client: FlaskClient, key_for: Headers
) -> None:
    headers = key_for("gateway")
    cursor = client.get("/api/v1/gateway/verdicts", headers=headers).get_json()["cursor"]
    started = time.monotonic()
    feed = client.get(f"/api/v1/gateway/verdicts?wait=0.4&cursor={cursor}", headers=headers).get_json()
    assert 0.3 < time.monotonic() - started < 20
    assert (feed["cursor"], feed["full"], feed["subjects"], feed["removed"]) == (cursor, False, [], [])


def test_a_wrong_wait_is_named(client: FlaskClient, key_for: Headers) -> None:
    answer = client.get("/api/v1/gateway/verdicts?wait=600", headers=key_for("gateway"))
    assert (answer.status_code, answer.get_json()["errors"][0]["path"]) == (422, "/wait")


@pytest.mark.parametrize("scope", ["read", "gateway"])
def test_one_verdict_is_explained(quota: None, scope: str, client: FlaskClient, key_for: Headers) -> None:
    told = client.get("/api/v1/gateway/verdicts/consumer:alice", headers=key_for(scope)).get_json()
    assert (told["customer"], told["limits"][0]["state"]) == ("acme", "warn")
    (entitlement,) = told["entitlements"]
    assert (entitlement["used"], entitlement["remaining"], entitlement["limit"]) == ("9", "1", "10")
    assert entitlement["used_by"] == [{"customer": "acme", "used": "9", "events": 9}]
    assert entitlement["limit_id"] == told["limits"][0]["id"]


def test_the_verdict_of_nobody_is_not_found(client: FlaskClient, key_for: Headers) -> None:
    answer = client.get("/api/v1/gateway/verdicts/consumer:nobody", headers=key_for("read"))
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


def test_a_heartbeat_as_in_the_contract_is_taken(client: FlaskClient, database: Database, key_for: Headers) -> None:
    contract = json.loads((CONTRACT / "heartbeat.json").read_text())
    answer = client.post("/api/v1/gateway/heartbeat", headers=key_for("gateway"), json=contract["request"])
    assert answer.status_code == 200
    assert contract["answer"].keys() <= answer.get_json().keys()
    with database.snapshot() as session:
        (node,) = list_nodes(session)
    assert (node.node, node.spool["records"], node.counters["refused"]) == ("node-7", 12, 10)


def test_a_heartbeat_of_a_newer_plugin_is_taken_too(client: FlaskClient, key_for: Headers) -> None:
    contract = json.loads((CONTRACT / "heartbeat.json").read_text())["request"]
    newer = {**contract, "mood": "good", "counters": {**contract["counters"], "moods": 1}}
    assert client.post("/api/v1/gateway/heartbeat", headers=key_for("gateway"), json=newer).status_code == 200


def test_the_balances_of_a_customer_are_listed(quota: None, client: FlaskClient, key_for: Headers) -> None:
    (item,) = client.get("/api/v1/customers/acme/entitlements", headers=key_for("read")).get_json()["items"]
    assert (item["feature"], item["type"], item["used"], item["state"]) == ("calls", "metered", "9", "warn")
