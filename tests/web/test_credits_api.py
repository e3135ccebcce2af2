"""Prepaid credit over HTTP."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from tests.scenarios.story import Story
from tests.shop import T0, add_customer, add_plan, flat
from tests.web.visitor import Visitor
from tollkeeper.clock import FixedClock
from tollkeeper.credits.grants import GrantDraft, grant_credit
from tollkeeper.credits.tables import GrantKind
from tollkeeper.customers.customers import get_customer
from tollkeeper.invoices.billing_run import bill_payer
from tollkeeper.invoices.top_up import charge_top_ups
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import subscribe

KeyFor = Callable[..., dict[str, str]]
GRANTS = "/api/v1/customers/acme/credit-grants"


@pytest.fixture
def acme(database: Database) -> Story:
    """The customer acme in EUR, who pays for north."""
    return Story(database, "customer acme in EUR\ncustomer north in EUR paid by acme")


def test_credit_is_granted_listed_and_counted(client: FlaskClient, key_for: KeyFor, acme: Story) -> None:
    headers = key_for("read", "write")
    body = {"kind": "paid", "amount": "50.00", "name": "January", "expires_at": "2027-01-01T00:00:00Z"}
    made = client.post(GRANTS, json=body, headers=headers)
    assert made.status_code == 201
    told = made.get_json()
    assert (told["amount"], told["remaining"], told["currency"], told["priority"]) == ("50.00", "50.00", "EUR", 10)
    assert [one["id"] for one in client.get(GRANTS, headers=headers).get_json()["items"]] == [told["id"]]
    balance = client.get("/api/v1/customers/acme/credit-balance", headers=headers).get_json()
    assert balance["items"] == [{"currency": "EUR", "balance": "50.00"}]
    later = client.get("/api/v1/customers/acme/credit-balance?at=2027-01-01T00:00:00Z", headers=headers).get_json()
    assert later["items"] == [{"currency": "EUR", "balance": "0.00"}]


def test_a_repeat_under_a_key_grants_once(client: FlaskClient, key_for: KeyFor, acme: Story) -> None:
    headers = key_for("read", "write")
    body = {"kind": "paid", "amount": "50.00", "key": "payment-1"}
    answers = [client.post(GRANTS, json=body, headers=headers).get_json()["id"] for _ in range(2)]
    assert answers[0] == answers[1]
    other = client.post(GRANTS, json=body | {"amount": "51.00"}, headers=headers)
    assert (other.status_code, other.get_json()["code"]) == (409, "conflict")


def test_the_ledger_tells_every_act_by_page(client: FlaskClient, key_for: KeyFor, acme: Story) -> None:
    headers = key_for("read", "write")
    made = client.post(GRANTS, json={"kind": "promotional", "amount": "5.00"}, headers=headers).get_json()
    voided = client.post(f"{GRANTS}/{made['id']}/void", headers=headers).get_json()
    assert (voided["remaining"], voided["voided_at"]) == ("0.00", "2026-03-10T12:00:00Z")
    first = client.get("/api/v1/customers/acme/credit-ledger?limit=1", headers=headers).get_json()
    assert [(one["sequence"], one["kind"]) for one in first["items"]] == [(2, "void")]
    assert first["items"][0]["entries"] == [
        {"account": f"grant:{made['id']}", "amount": "-5.00"},
        {"account": "voided:EUR", "amount": "5.00"},
    ]
    rest = client.get(f"/api/v1/customers/acme/credit-ledger?cursor={first['next_cursor']}", headers=headers)
    assert [one["kind"] for one in rest.get_json()["items"]] == ["grant"]


def test_credit_on_an_invoice_is_a_line_of_its_own(client: FlaskClient, key_for: KeyFor, acme: Story) -> None:
    acme.go_on(
        """
        plan pro: 20.00 EUR per month
        2026-01-01 grant acme 5.00 EUR of promotional credit named welcome
        2026-01-01 north subscribes to pro
        2026-01-01 close period
        """
    )
    lines = client.get("/api/v1/invoices/INV-000001/lines", headers=key_for("read")).get_json()
    assert [(one["kind"], one["amount"], one["rate_card"]) for one in lines["items"]] == [
        ("flat", "20.00", "fee"),
        ("prepaid_credit", "-5.00", None),
    ]
    assert lines["total"] == "15.00"


def test_a_grant_of_another_customer_is_not_found(client: FlaskClient, key_for: KeyFor, acme: Story) -> None:
    headers = key_for("write")
    made = client.post(GRANTS, json={"kind": "paid", "amount": "5.00"}, headers=headers).get_json()
    answer = client.post(f"/api/v1/customers/north/credit-grants/{made['id']}/void", headers=headers)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"kind": "paid", "amount": "5.001"}, "/amount"),
        ({"kind": "paid", "amount": "-5"}, "/amount"),
        ({"kind": "paid", "amount": "0"}, "/amount"),
        ({"kind": "paid", "amount": 5.5}, "/amount"),
        ({"kind": "gift", "amount": "5"}, "/kind"),
        ({"kind": "paid", "amount": "5", "currency": "XXX"}, "/currency"),
        ({"kind": "paid", "amount": "5", "expires_at": "2026-01-01T00:00:00Z"}, "/expires_at"),
        ({"kind": "paid", "amount": "5", "max_rollover": "1"}, "/reset_every"),
        ({"kind": "paid", "amount": "5", "sum": "1"}, "/sum"),
    ],
)
def test_a_wrong_grant_is_refused_with_its_place(
    client: FlaskClient, key_for: KeyFor, acme: Story, body: dict[str, object], path: str
) -> None:
    answer = client.post(GRANTS, json=body, headers=key_for("write"))
    assert answer.status_code == 422
    assert [error["path"] for error in answer.get_json()["errors"]] == [path]


def test_a_subsidiary_is_granted_nothing(client: FlaskClient, key_for: KeyFor, acme: Story) -> None:
    path = "/api/v1/customers/north/credit-grants"
    assert client.post(path, json={"kind": "paid", "amount": "5"}, headers=key_for("write")).status_code == 409


def test_a_top_up_is_set_due_and_stopped(client: FlaskClient, key_for: KeyFor, acme: Story, clock: FixedClock) -> None:
    headers = key_for("write")
    path = "/api/v1/customers/acme/credit-top-up"
    told = client.put(path, json={"threshold": "10.00", "amount": "50.00"}, headers=headers).get_json()
    assert (told["threshold"], told["amount"], told["due_since"]) == ("10.00", "50.00", "2026-03-10T12:00:00Z")
    client.post(GRANTS, json={"kind": "paid", "amount": "50.00"}, headers=headers)
    again = client.put(path, json={"threshold": "10.00", "amount": "50.00"}, headers=headers).get_json()
    assert again["due_since"] is None
    assert client.put(path, json={}, headers=headers).get_json()["threshold"] is None
    assert client.put(path, json={"amount": "5"}, headers=headers).get_json()["errors"][0]["path"] == "/threshold"


def test_a_top_up_that_is_charged_grants_its_credit_when_its_invoice_is_paid(
    client: FlaskClient, key_for: KeyFor, acme: Story, clock: FixedClock
) -> None:
    headers = key_for("write", "read")
    path = "/api/v1/customers/acme"
    terms = {"threshold": "1000.00", "amount": "2000.00", "is_charged": True}
    assert client.put(f"{path}/credit-top-up", json=terms, headers=headers).get_json()["is_charged"] is True
    [number] = charge_top_ups(acme.database, now=clock.now()).invoices
    shown = client.get(f"/api/v1/invoices/{number}/lines", headers=headers).get_json()
    assert [(line["kind"], line["amount"]) for line in shown["items"]] == [("top_up", "2000.00")]
    assert client.get(f"/api/v1/invoices/{number}/pdf", headers=headers).status_code == 200
    assert client.post(f"/api/v1/invoices/{number}/payments", json={}, headers=headers).status_code == 201
    [granted] = [
        one
        for one in client.get(f"{path}/credit-grants", headers=headers).get_json()["items"]
        if one["amount"] == "2000.00"
    ]
    assert (granted["kind"], granted["name"], granted["remaining"]) == ("paid", f"Top-up {number}", "2000.00")


def test_the_admin_page_of_an_invoice_shows_its_credit(ada: Visitor, books_database: Database) -> None:
    with books_database.transaction() as session:
        add_plan(session, "prepaid", flat(amount="20.00"), currency="EUR")
        add_customer(session, "holding", currency="EUR")
        add_customer(session, "branch", currency="EUR", parent="holding")
        draft = GrantDraft(kind=GrantKind.PROMOTIONAL, amount_minor=500, name="welcome")
        grant_credit(session, "holding", draft, now=T0)
        subscribe(session, "branch", "prepaid", start=T0, now=T0)
        step = bill_payer(session, get_customer(session, "holding").id, now=T0 + timedelta(hours=2))
        assert step.invoice is not None
    page = ada.text(f"/admin/invoices/{step.invoice.id}")
    assert "Prepaid credit: welcome" in page
    assert "15.00" in page
