"""Invoices and Stripe's webhooks over HTTP."""

import time
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.fakes import sign
from tests.scenarios.story import Story
from tollkeeper.payments.webhooks import WebhookSettings
from tollkeeper.storage.session import Database

KeyFor = Callable[..., dict[str, str]]
SECRET = "whsec_test"


@pytest.fixture
def issued(database: Database) -> Story:
    """INV-000001 of 40.00 and INV-000002 of 41.00, for a parent with two subsidiaries."""
    return Story(
        database,
        """
        plan pro: 20.00 EUR per month, 0.10 EUR each of calls
        customer group in EUR
        customer north in EUR paid by group
        customer south in EUR paid by group
        2026-01-01 north subscribes to pro
        2026-01-01 south subscribes to pro
        2026-01-10 north uses 10 calls
        2026-02-01 close period
        2026-02-20 north uses 7 calls
        """,
    )


def test_invoices_are_listed_newest_first_and_by_page(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    headers = key_for("read")
    first = client.get("/api/v1/invoices?limit=1", headers=headers).get_json()
    assert [item["number"] for item in first["items"]] == ["INV-000002"]
    rest = client.get(f"/api/v1/invoices?cursor={first['next_cursor']}", headers=headers).get_json()
    assert [item["number"] for item in rest["items"]] == ["INV-000001"]
    assert rest["next_cursor"] is None
    paid = client.get("/api/v1/invoices?status=paid&customer=group", headers=headers).get_json()
    assert paid["items"] == []


def test_an_invoice_says_what_it_is_and_what_it_is_made_of(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    headers = key_for("read")
    shown = client.get("/api/v1/invoices/INV-000002", headers=headers).get_json()
    assert (shown["customer_key"], shown["currency"], shown["total"], shown["status"]) == (
        "group",
        "EUR",
        "41.00",
        "issued",
    )
    assert shown["is_overdue"] is True
    lines = client.get(f"/api/v1/invoices/{shown['id']}/lines", headers=headers).get_json()
    assert [line["amount"] for line in lines["items"]] == ["20.00", "1.00", "20.00"]
    assert [(one["customer_key"], one["amount"]) for one in lines["subtotals"]] == [
        ("north", "21.00"),
        ("south", "20.00"),
    ]
    assert lines["items"][1]["proof"]["events"]["count"] == 1


def test_a_line_says_who_used_what_of_it(client: FlaskClient, key_for: KeyFor, database: Database) -> None:
    Story(
        database,
        """
        plan payg: 0.10 EUR each of calls
        customer group in EUR
        customer north in EUR paid by group
        2026-01-01 group subscribes to payg
        2026-01-10 group uses 3 calls
        2026-01-10 north uses 7 calls
        2026-02-01 close period
        """,
    )
    lines = client.get("/api/v1/invoices/INV-000001/lines", headers=key_for("read")).get_json()
    [line] = lines["items"]
    assert [(one["customer_key"], one["quantity"], one["amount"]) for one in line["shares"]] == [
        ("group", "3", "0.30"),
        ("north", "7", "0.70"),
    ]
    assert [(one["customer_key"], one["amount"]) for one in lines["subtotals"]] == [
        ("group", "0.30"),
        ("north", "0.70"),
    ]


def test_an_invoice_is_proved_over_http(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    answer = client.get("/api/v1/invoices/INV-000002/verification", headers=key_for("read")).get_json()
    assert answer["is_equal"] is True
    assert [finding["verdict"] for finding in answer["findings"]] == ["equal"] * 4


def test_the_preview_shows_revenue_so_far(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    answer = client.get("/api/v1/customers/north/invoice-preview", headers=key_for("read")).get_json()
    # on 10 March: the fees of March for two, and February's 7 calls
    assert answer["total"] == "40.70"
    assert [item["amount"] for item in answer["items"]] == ["20.00", "0.70", "20.00"]


def test_an_invoice_is_voided_once(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    headers = key_for("write")
    for _ in range(2):
        answer = client.post("/api/v1/invoices/INV-000001/void", json={"then": "forgive"}, headers=headers)
        assert (answer.status_code, answer.get_json()["status"]) == (200, "void")
    wrong = client.post("/api/v1/invoices/INV-000002/void", json={"then": "burn"}, headers=headers)
    assert wrong.status_code == 422
    assert wrong.get_json()["errors"][0]["path"] == "/then"


def test_an_invoice_paid_elsewhere_is_marked(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    headers = key_for("write")
    answer = client.post("/api/v1/invoices/INV-000001/mark-paid", headers=headers)
    assert (answer.get_json()["status"], answer.get_json()["amount_paid"]) == ("paid", "40.00")
    refused = client.post("/api/v1/invoices/INV-000001/void", json={}, headers=headers)
    assert refused.status_code == 409


def test_finalizing_an_issued_invoice_returns_it(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    answer = client.post("/api/v1/invoices/INV-000001/finalize", headers=key_for("write"))
    assert answer.get_json()["number"] == "INV-000001"


@pytest.mark.parametrize("path", ["", "/lines", "/verification"])
def test_an_unknown_invoice_is_404(client: FlaskClient, key_for: KeyFor, path: str) -> None:
    assert client.get(f"/api/v1/invoices/INV-9{path}", headers=key_for("read")).status_code == 404


def test_reading_does_not_allow_changing(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    answer = client.post("/api/v1/invoices/INV-000001/void", json={}, headers=key_for("read"))
    assert answer.status_code == 403


def test_an_invoice_that_is_not_stopped_is_not_retried(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    assert client.post("/api/v1/invoices/INV-000001/retry-stripe", headers=key_for("write")).status_code == 409


def test_a_signed_webhook_is_taken_twice_and_a_forged_one_refused(app: Flask, client: FlaskClient) -> None:
    # Stripe signs by the world's time; the application's clock stands at NOW, as a test clock does
    app.extensions["tollkeeper.stripe_webhooks"] = WebhookSettings((SECRET,), is_live=False)
    body = b'{"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": {"id": "in_1"}}}'
    stamp = int(time.time())
    signed = {"Stripe-Signature": sign(body, SECRET, stamp)}
    for _ in range(2):
        assert client.post("/api/v1/stripe/webhook", data=body, headers=signed).status_code == 200
    forged = {"Stripe-Signature": sign(body, "whsec_other", stamp)}
    refused = client.post("/api/v1/stripe/webhook", data=body, headers=forged)
    assert refused.status_code == 400
    assert refused.mimetype == "application/problem+json"
    assert refused.get_json()["code"] == "bad_webhook"
    assert client.post("/api/v1/stripe/webhook", data=body).status_code == 400


def test_without_a_secret_a_webhook_is_refused(client: FlaskClient) -> None:
    assert client.post("/api/v1/stripe/webhook", data=b"{}").status_code == 400
