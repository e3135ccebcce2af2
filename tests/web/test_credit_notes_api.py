"""Credit notes over the API and on the invoice's page."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from tests.scenarios.story import Story
from tests.web.visitor import Visitor, text_of
from tollkeeper.storage.session import Database

KeyFor = Callable[..., dict[str, str]]
PATH = "/api/v1/invoices/INV-000001/credit-notes"


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


def test_a_credit_note_by_line_is_issued_shown_and_voided(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    headers = key_for("read", "write")
    body = {"reason": "order_change", "lines": [{"position": 1, "amount": "7.50"}], "memo": "too dear"}
    made = client.post(PATH, json=body, headers=headers)
    assert made.status_code == 201
    note = made.get_json()
    assert (note["number"], note["total"], note["reduction"], note["tax"]) == ("CN-000001", "7.50", "7.50", "0.00")
    assert [line["amount"] for line in note["lines"]] == ["7.50"]
    invoice = client.get("/api/v1/invoices/INV-000001", headers=headers).get_json()
    assert (invoice["amount_credited"], invoice["amount_due"]) == ("7.50", "12.50")
    assert client.get("/api/v1/credit-notes/CN-000001", headers=headers).get_json() == note
    assert client.get("/api/v1/credit-notes?customer=acme", headers=headers).get_json()["items"] == [note]
    voided = client.post("/api/v1/credit-notes/CN-000001/void", headers=headers).get_json()
    assert voided["status"] == "void"
    assert client.get(PATH, headers=headers).get_json()["items"] == [voided]
    assert client.post("/api/v1/credit-notes/CN-000001/retry-stripe", headers=headers).status_code == 409


def test_a_credit_note_says_net_and_tax_by_rate_and_can_be_verified(
    client: FlaskClient, key_for: KeyFor, database: Database
) -> None:
    Story(
        database,
        """
        tax is charged in DE
        tax VAT of 19 % in DE
        plan pro: 20.00 EUR per month
        customer acme in EUR
        acme is in DE
        2026-01-01 acme subscribes to pro
        2026-01-01 close period
        """,
    )
    headers = key_for("read", "write")
    body = {"reason": "order_change", "lines": [{"position": 1, "amount": "7.50"}]}
    note = client.post(PATH, json=body, headers=headers).get_json()
    # 19 % of 7.50 is 1.425
    assert note["taxes"] == [{"name": "VAT", "percentage": "19", "net": "7.50", "tax": "1.43"}]
    verified = client.get("/api/v1/credit-notes/CN-000001/verification", headers=headers).get_json()
    assert (verified["number"], verified["is_equal"]) == ("CN-000001", True)
    assert [one["amount"] for one in verified["findings"]] == ["8.93", "7.50"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"reason": "order_change", "amount": "20.01"}, "/amount"),
        ({"reason": "order_change", "amount": "-1"}, "/amount"),
        ({"reason": "order_change"}, "/lines"),
        ({"reason": "order_change", "amount": "1.00", "lines": [{"position": 1, "amount": "1.00"}]}, "/lines"),
        ({"reason": "order_change", "lines": [{"position": 2, "amount": "1.00"}]}, "/lines/2"),
        ({"reason": "order_change", "lines": [{"position": 1, "amount": "1.00"}] * 2}, "/lines/1/position"),
        ({"reason": "whim", "amount": "1.00"}, "/reason"),
    ],
)
def test_a_wrong_credit_note_is_refused_beside_its_field(
    client: FlaskClient, key_for: KeyFor, issued: Story, body: dict[str, object], path: str
) -> None:
    answer = client.post(PATH, json=body, headers=key_for("write"))
    assert (answer.status_code, answer.get_json()["errors"][0]["path"]) == (422, path)


def test_a_reader_issues_no_credit_note(client: FlaskClient, key_for: KeyFor, issued: Story) -> None:
    body = {"reason": "order_change", "amount": "1.00"}
    assert client.post(PATH, json=body, headers=key_for("read")).status_code == 403


def test_a_credit_note_is_issued_and_voided_on_the_invoices_page(ada: Visitor) -> None:
    on = "/admin/invoices/INV-000003"
    form = {"amount": "100.00", "line": "", "reason": "duplicate", "to": "credit", "memo": "", "key": "form-1"}
    ada.submit(f"{on}/credit-notes", on=on, **form)
    page = ada.text(on)
    assert "CN-000001" in page
    # 129.48 - 100.00
    assert "Still due €29.48" in page
    refused = ada.submit(f"{on}/credit-notes", on=on, **form | {"amount": "29.49", "key": "form-2"})
    assert refused.status_code == 422
    assert "Not done: /amount: has to be more than zero and at most 29.48" in text_of(refused)
    ada.submit(f"{on}/credit-notes/CN-000001/void", on=on)
    assert "Still due €129.48" in ada.text(on)
