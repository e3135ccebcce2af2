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
