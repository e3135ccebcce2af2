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


def test_an_add_on_goes_from_a_draft_onto_a_subscription_and_off_again(
    shop: None, client: FlaskClient, key_for: Headers
) -> None:
    headers = key_for("write", "read")
    spec = {"name": "Care", "currency": "USD", "instances": "multiple", "rate_cards": [flat(amount="7.00")]}
    assert client.post("/api/v1/add-ons/validate", headers=headers, json=spec).status_code == 200
    assert client.put("/api/v1/add-ons/care/draft", headers=headers, json=spec).get_json()["status"] == "draft"
    assert client.post("/api/v1/add-ons/care/publish", headers=headers).get_json()["version"] == 1
    assert [one["key"] for one in client.get("/api/v1/add-ons", headers=headers).get_json()["items"]] == ["care"]
    assert [one["key"] for one in client.get("/api/v1/plans", headers=headers).get_json()["items"]] == ["pro", "max"]
    made = client.post("/api/v1/subscriptions", headers=headers, json={"customer": "acme", "plan": "pro"}).get_json()
    path = f"/api/v1/subscriptions/{made['id']}"
    held = client.post(f"{path}/add-ons", headers=headers, json={"add_on": "care", "quantity": "2"}).get_json()
    assert [(one["add_on"], one["version"], one["quantity"]) for one in held["add_ons"]] == [("care", 1, "2")]
    charges = client.get(f"{path}/charges?until=2026-03-10T12:00:01Z", headers=headers).get_json()["items"]
    assert ("care/fee", "2") in [(one["rate_card"], one["quantity"]) for one in charges]
    off = {"quantity": "0", "at": "period_end"}
    ended = client.post(f"{path}/add-ons/care/quantity", headers=headers, json=off).get_json()
    assert ended["planned"] == [{"act": "add_on", "at": "2026-04-10T12:00:00Z", "detail": "0 care"}]
    again = client.post(f"{path}/add-ons", headers=headers, json={"add_on": "care"})
    assert (again.status_code, again.get_json()["code"]) == (409, "already_attached")
    usage = {**spec, "rate_cards": [{"key": "calls", "feature": "calls", "price": {"type": "unit", "amount": "1"}}]}
    refused = client.post("/api/v1/add-ons/validate", headers=headers, json=usage)
    assert [error["path"] for error in refused.get_json()["errors"]] == ["/rate_cards/0/price/type"]


def test_a_price_of_one_s_own_is_set_listed_and_refused_where_it_is_wrong(
    shop: None, client: FlaskClient, key_for: Headers
) -> None:
    headers = key_for("write", "read")
    made = client.post("/api/v1/subscriptions", headers=headers, json={"customer": "acme", "plan": "pro"}).get_json()
    path = f"/api/v1/subscriptions/{made['id']}"
    body = {"act": "set", "rate_card": "fee", "terms": {"price": {"type": "flat", "amount": "15.00"}}, "at": "now"}
    own = client.post(f"{path}/overrides", headers=headers, json=body)
    assert (own.status_code, own.get_json()["act"], own.get_json()["terms"]["price"]["amount"]) == (201, "set", "15.00")
    assert client.get(path, headers=headers).get_json()["overrides"] == [own.get_json()]
    wrong = client.post(f"{path}/overrides", headers=headers, json=body | {"terms": {"price": {"type": "gold"}}})
    assert (wrong.status_code, [one["path"] for one in wrong.get_json()["errors"]]) == (422, ["/terms/price/type"])
    past = client.post(f"{path}/overrides", headers=headers, json=body | {"at": "2026-03-01T00:00:00Z"})
    assert [one["path"] for one in past.get_json()["errors"]] == ["/at"]
    assert client.post(f"{path}/overrides", headers=key_for("read"), json=body).status_code == 403


@pytest.mark.parametrize(
    ("prices", "paths"),
    [
        ({"USD": {"main": {"fee": {"price": {"type": "flat", "amount": "22.00"}}}}}, []),
        ({"USD": {"main": {}}}, ["/other_currencies/USD/main/fee"]),
        ({"USD": {}}, ["/other_currencies/USD/main"]),
        ({"EUR": {"main": {"fee": {"price": {"type": "flat", "amount": "1"}}}}}, ["/other_currencies/EUR"]),
        (
            {"USD": {"main": {"fee": {"price": {"type": "flat", "amount": "1", "payment_term": "in_arrears"}}}}},
            ["/other_currencies/USD/main/fee/price/payment_term"],
        ),
        (
            {"USD": {"main": {"fee": {"price": {"type": "flat", "amount": "1"}}, "gold": {}}, "trial": {}}},
            ["/other_currencies/USD/main/gold/price", "/other_currencies/USD/main/gold", "/other_currencies/USD/trial"],
        ),
    ],
)
def test_prices_in_other_currencies_are_complete_and_alike(
    client: FlaskClient, key_for: Headers, prices: dict[str, object], paths: list[str]
) -> None:
    spec = {
        "name": "Pro",
        "currency": "EUR",
        "phases": [{"key": "main", "rate_cards": [flat()]}],
        "other_currencies": prices,
    }
    answer = client.post("/api/v1/plans/validate", headers=key_for("read"), json=spec)
    assert sorted(error["path"] for error in answer.get_json().get("errors", [])) == sorted(paths)


def test_an_entitlement_template_is_written_named_by_a_plan_and_forgotten(
    client: FlaskClient, key_for: Headers
) -> None:
    headers = key_for("write", "read")
    path = "/api/v1/entitlement-templates/standard"
    body = {"name": "Standard", "entitlement": {"type": "metered", "limit": "1000"}}
    assert client.put(path, headers=headers, json=body).get_json()["entitlement"]["limit"] == "1000"
    assert client.get("/api/v1/entitlement-templates", headers=headers).get_json()["items"][0]["key"] == "standard"
    wrong = {"name": "Loop", "entitlement": {"type": "template", "template": "standard"}}
    refused = client.put("/api/v1/entitlement-templates/loop", headers=headers, json=wrong)
    assert [error["path"] for error in refused.get_json()["errors"]] == ["/entitlement/type"]
    assert client.put(path, headers=key_for("read"), json=body).status_code == 403
    assert client.delete(path, headers=headers).status_code == 204
    assert client.get(path, headers=headers).status_code == 404


def test_a_backdated_subscription_may_have_its_own_prices_from_the_start(
    shop: None, client: FlaskClient, key_for: Headers
) -> None:
    headers = key_for("write", "read")
    agreed = {"act": "set", "rate_card": "fee", "terms": {"price": {"type": "flat", "amount": "15.00"}}}
    body = {"customer": "acme", "plan": "pro", "start": "2026-02-01T00:00:00Z"}
    wrong = agreed | {"terms": {"price": {"type": "flat", "amount": "x"}}}
    refused = client.post("/api/v1/subscriptions", headers=headers, json=body | {"overrides": [agreed, wrong]})
    assert [error["path"] for error in refused.get_json()["errors"]] == ["/overrides/1/terms/price/amount"]
    made = client.post("/api/v1/subscriptions", headers=headers, json=body | {"overrides": [agreed]}).get_json()
    assert [one["starts_at"] for one in made["overrides"]] == ["2026-02-01T00:00:00Z"]
    preview = client.get("/api/v1/customers/acme/invoice-preview", headers=headers).get_json()
    # February and March: 2 x 15.00 for the plan and 2 x 5.00 for seats
    assert preview["total"] == "40.00"
