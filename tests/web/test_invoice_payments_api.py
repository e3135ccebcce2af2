"""Payments past Stripe, bad debts and the record of acts, over the API."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from tests.scenarios.story import Story
from tollkeeper.storage.session import Database

KeyFor = Callable[..., dict[str, str]]
PATH = "/api/v1/invoices/INV-000001"


@pytest.fixture
def issued(database: Database) -> Story:
    """INV-000001 of 20.00 EUR."""
    return Story(
        database,
        """
        plan pro: 20.00 EUR per month
        customer acme in EUR
        2026-01-01 acme subscribes to pro
        2026-01-01 close period
        """,
    )


def test_an_invoice_is_paid_in_two_transfers(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    headers = key_for("read", "write")
    first = client.post(f"{PATH}/payments", json={"amount": "12.50", "reference": "wire 7"}, headers=headers)
    assert (first.status_code, first.get_json()["amount"], first.get_json()["method"]) == (201, "12.50", "out_of_band")
    shown = client.get(PATH, headers=headers).get_json()
    assert (shown["status"], shown["amount_paid"], shown["amount_due"]) == ("partly_paid", "12.50", "7.50")
    client.post(f"{PATH}/payments", json={}, headers=headers)
    shown = client.get(PATH, headers=headers).get_json()
    assert (shown["status"], shown["amount_due"]) == ("paid", "0.00")
    items = client.get(f"{PATH}/payments", headers=headers).get_json()["items"]
    assert [(one["amount"], one["reference"]) for one in items] == [("12.50", "wire 7"), ("7.50", None)]
    acts = client.get(f"{PATH}/history", headers=headers).get_json()["items"]
    assert [act["kind"] for act in acts] == ["issued", "payment", "payment"]
    assert acts[1]["by"].startswith("API key key for ('read', 'write')")


def test_a_payment_under_a_key_is_recorded_once(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    headers = key_for("read", "write")
    body = {"amount": "5.00", "key": "bank-99"}
    ids = {client.post(f"{PATH}/payments", json=body, headers=headers).get_json()["id"] for _ in range(2)}
    assert len(ids) == 1
    assert client.get(PATH, headers=headers).get_json()["amount_paid"] == "5.00"
    assert client.post(f"{PATH}/payments", json=body | {"amount": "6.00"}, headers=headers).status_code == 409


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"amount": "20.01"}, "/amount"),
        ({"amount": "0"}, "/amount"),
        ({"amount": "1.001"}, "/amount"),
        ({"received_at": "2027-01-01T00:00:00Z"}, "/received_at"),
    ],
)
def test_a_wrong_payment_is_refused(
    client: FlaskClient, key_for: KeyFor, issued: Story, body: dict[str, str], path: str
) -> None:
    answer = client.post(f"{PATH}/payments", json=body, headers=key_for("write"))
    assert (answer.status_code, answer.get_json()["errors"][0]["path"]) == (422, path)


def test_a_bad_debt_is_noted_and_nothing_is_due_for_a_paid_one(
    client: FlaskClient, key_for: KeyFor, issued: Story
) -> None:
    headers = key_for("read", "write")
    assert client.post(f"{PATH}/mark-uncollectible", headers=headers).status_code == 204
    assert client.get(PATH, headers=headers).get_json()["status"] == "uncollectible"
    client.post(f"{PATH}/payments", json={}, headers=headers)
    assert client.post(f"{PATH}/mark-uncollectible", headers=headers).status_code == 409
    assert client.post(f"{PATH}/payments", json={}, headers=key_for("read")).status_code == 403
    assert client.post(f"{PATH}/reread-stripe", headers=headers).status_code == 409
