"""Subscriptions through the door."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from tests.shop import add_customer, add_plan, flat
from tollkeeper.storage.session import Database

Headers = Callable[..., dict[str, str]]


@pytest.fixture
def shop(database: Database) -> None:
    with database.transaction() as session:
        add_plan(session, "pro", flat(), flat("seats", "5.00"))
        add_plan(session, "max", flat(amount="50.00"))
        add_customer(session, "acme")


def test_a_subscription_goes_through_its_life(shop: None, client: FlaskClient, key_for: Headers) -> None:
    headers = key_for("write", "read")
    made = client.post(
        "/api/v1/subscriptions",
        headers=headers,
        json={"customer": "acme", "plan": "pro", "start": "2026-03-01T00:00:00Z", "quantities": {"seats": "3"}},
    )
    assert made.status_code == 201
    subscription = made.get_json()
    path = f"/api/v1/subscriptions/{subscription['id']}"
    assert (subscription["state"], subscription["plan_version"], subscription["phase"]) == ("active", 1, "main")
    charges = client.get(f"{path}/charges", headers=headers).get_json()["items"]
    assert [(one["rate_card"], one["quantity"], one["fraction"]) for one in charges] == [
        ("fee", "1", "1"),
        ("seats", "3", "1"),
    ]
    changed = client.post(f"{path}/quantity", headers=headers, json={"rate_card": "seats", "quantity": "4"})
    assert changed.status_code == 200
    moved = client.post(f"{path}/change-plan", headers=headers, json={"plan": "max", "at": "period_end"})
    assert (moved.get_json()["plan"], moved.get_json()["plan_version"]) == ("max", 1)
    ended = client.post(f"{path}/cancel", headers=headers, json={"at": "2026-06-01T00:00:00Z"}).get_json()
    assert (ended["status"], ended["state"], ended["ends_at"]) == ("canceled", "active", "2026-06-01T00:00:00Z")
    listed = client.get("/api/v1/subscriptions?customer=acme", headers=headers).get_json()["items"]
    assert [one["id"] for one in listed] == [subscription["id"]]
    assert client.get(path, headers=headers).get_json() == listed[0]


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({"plan": "pro"}, 422, "/customer"),
        ({"customer": "acme", "plan": "pro", "start": "2026-03-01"}, 422, "/start"),
        ({"customer": "acme", "plan": "pro", "start": "0001-01-01T00:00:00+12:00"}, 422, "/start"),
        ({"customer": "acme", "plan": "pro", "start": "9999-12-31T23:59:59-12:00"}, 422, "/start"),
        ({"customer": "acme", "plan": "pro", "quantities": {"seats": "-1"}}, 422, "/quantities/seats"),
        ({"customer": "acme", "plan": "pro", "quantities": {"chairs": "1"}}, 422, "/quantities/chairs"),
        ({"customer": "acme", "plan": "pro", "time_zone": "Mars"}, 422, "/time_zone"),
        ({"customer": "acme", "plan": "gold"}, 404, None),
    ],
)
def test_a_wrong_subscription_is_refused_at_its_place(
    shop: None, client: FlaskClient, key_for: Headers, body: dict[str, object], status: int, path: str | None
) -> None:
    answer = client.post("/api/v1/subscriptions", headers=key_for("write"), json=body)
    assert answer.status_code == status
    assert [error["path"] for error in answer.get_json().get("errors", [])] == ([path] if path else [])


def test_a_second_one_is_a_conflict(shop: None, client: FlaskClient, key_for: Headers) -> None:
    body = {"customer": "acme", "plan": "pro"}
    assert client.post("/api/v1/subscriptions", headers=key_for("write"), json=body).status_code == 201
    answer = client.post("/api/v1/subscriptions", headers=key_for("write"), json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "already_subscribed")


def test_a_repeat_under_the_same_idempotency_key_subscribes_once(
    shop: None, client: FlaskClient, key_for: Headers
) -> None:
    headers = {**key_for("write"), "Idempotency-Key": "one"}
    body = {"customer": "acme", "plan": "pro"}
    first = client.post("/api/v1/subscriptions", headers=headers, json=body)
    second = client.post("/api/v1/subscriptions", headers=headers, json=body)
    assert (first.status_code, second.status_code, first.get_json()) == (201, 201, second.get_json())


def test_a_subscription_is_paused_resumed_and_its_plans_are_taken_back(
    shop: None, client: FlaskClient, key_for: Headers
) -> None:
    headers = key_for("write", "read")
    made = client.post("/api/v1/subscriptions", headers=headers, json={"customer": "acme", "plan": "pro"}).get_json()
    path = f"/api/v1/subscriptions/{made['id']}"
    held = client.post(f"{path}/pause", headers=headers, json={}).get_json()
    assert (held["state"], held["paused_until"], held["planned"]) == ("paused", None, [])
    again = client.post(f"{path}/pause", headers=headers, json={})
    assert (again.status_code, again.get_json()["code"]) == (409, "already_paused")
    assert client.post(f"{path}/resume", headers=headers, json={}).get_json()["state"] == "active"
    refused = client.post(f"{path}/resume", headers=headers, json={})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "not_paused")
    end = {"at": "2999-01-01T00:00:00Z", "credit": False}
    ended = client.post(f"{path}/cancel", headers=headers, json=end).get_json()
    assert ended["planned"] == [{"act": "cancel", "at": "2999-01-01T00:00:00Z", "detail": "without credit"}]
    undone = client.post(f"{path}/undo", headers=headers, json={"planned": "cancel"}).get_json()
    assert (undone["status"], undone["ends_at"], undone["planned"]) == ("active", None, [])
    nothing = client.post(f"{path}/undo", headers=headers, json={"planned": "cancel"})
    assert (nothing.status_code, nothing.get_json()["code"]) == (409, "nothing_planned")
    wrong = client.post(f"{path}/pause", headers=headers, json={"until": "2020-01-01T00:00:00Z"})
    assert [error["path"] for error in wrong.get_json()["errors"]] == ["/until"]


def test_pausing_needs_the_scope_write(shop: None, client: FlaskClient, key_for: Headers) -> None:
    for act in ("pause", "resume", "undo"):
        assert client.post(f"/api/v1/subscriptions/sub_x/{act}", headers=key_for("read"), json={}).status_code == 403
