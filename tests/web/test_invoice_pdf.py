"""Invoices and credit notes as PDF, over the API and from the page, read back as a customer would."""

import io
from collections.abc import Callable

from flask.testing import FlaskClient
from pypdf import PdfReader
from werkzeug.test import TestResponse

from tests.scenarios.story import Story
from tests.web.visitor import Visitor
from tollkeeper.customers.customers import update_customer
from tollkeeper.invoices.legal_entities import save_legal_entity
from tollkeeper.storage.session import Database

KeyFor = Callable[..., dict[str, str]]
FAMILY = """
    plan payg: 0.10 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    coupon TEN: 10 % off for ever
    2026-01-01 group redeems TEN
    2026-01-01 grant group 2.00 EUR of promotional credit named gift
    2026-01-01 group subscribes to payg
    2026-01-01 north subscribes to payg
    2026-01-10 group uses 30 calls
    2026-01-10 south uses 20 calls
    2026-01-11 north uses 50 calls
"""


def text_of(answer: TestResponse) -> str:
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.mimetype == "application/pdf"
    pages = PdfReader(io.BytesIO(answer.get_data())).pages
    return "\n".join(page.extract_text() for page in pages)


def test_an_invoice_says_who_what_and_how_much_of_it_is_due(
    client: FlaskClient, key_for: KeyFor, database: Database
) -> None:
    story = Story(database, FAMILY)
    with database.transaction() as session:
        seller = {"name": "Toll GmbH", "address": {"line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin"}}
        save_legal_entity(session, "default", {**seller, "tax_id": "DE1", "email": "billing@toll.example"})
        buyer = {"address": {"city": "Dublin", "country": "IE"}, "tax_exemption": "reverse"}
        update_customer(session, "group", {**buyer, "tax_ids": [{"type": "eu_vat", "value": "IE99"}]})
    story.go_on("2026-02-01 close period\n2026-02-03 pay 3.00 of INV-000001")
    lines = text_of(client.get("/api/v1/invoices/INV-000001/pdf", headers=key_for("read"))).splitlines()
    for told in [
        *("Toll GmbH", "Torstr. 1", "10119 Berlin", "Tax id DE1", "billing@toll.example"),
        *("Group", "Dublin", "Ireland", "Tax id IE99", "Number INV-000001", "Date 2026-02-01", "Due 2026-03-03"),
        "Payg, calls: Usage 2026-01-01 – 2026-01-31 50 €0.10 €5.00",
        *("of which Group: 30 used (€3.00)", "of which South: 20 used (€2.00)", "of which South (-€0.20)"),
        "Coupon TEN: Ten, 10 % 2026-01-01 – 2026-01-31 1 – -€1.00",
        "Prepaid credit: gift 2026-01-01 – 2026-01-31 1 – -€2.00",
        # 5.00 + 5.00, a tenth off, 2.00 paid before by the gift
        *(
            "Sub-total Group €0.70",
            "Sub-total South €1.80",
            "Sub-total North €4.50",
            "Total €7.00",
            "Paid -€3.00",
            "Due €4.00",
        ),
        "Reverse charge: the tax is due by the customer.",
    ]:
        assert told in lines, (told, lines)


def test_the_same_invoice_is_the_same_bytes_for_readers_alone(
    client: FlaskClient, key_for: KeyFor, database: Database
) -> None:
    Story(database, f"{FAMILY}\n2026-02-01 close period")
    path = "/api/v1/invoices/INV-000001/pdf"
    first = client.get(path, headers=key_for("read"))
    assert first.headers["Content-Disposition"] == "attachment; filename=INV-000001.pdf"
    assert client.get(path, headers=key_for("read")).get_data() == first.get_data()
    assert client.get(path, headers=key_for("ingest")).status_code == 403
    assert client.get("/api/v1/invoices/INV-000009/pdf", headers=key_for("read")).status_code == 404


def test_an_issued_invoice_keeps_the_names_of_all_whom_it_is_about(
    client: FlaskClient, key_for: KeyFor, database: Database
) -> None:
    Story(database, f"{FAMILY}\n2026-02-01 close period")
    path = "/api/v1/invoices/INV-000001/pdf"
    first = client.get(path, headers=key_for("read")).get_data()
    with database.transaction() as session:
        for key in ("group", "north", "south"):
            update_customer(session, key, {"name": f"{key} renamed"})
    assert client.get(path, headers=key_for("read")).get_data() == first


def test_amounts_have_their_currency_s_decimals(client: FlaskClient, key_for: KeyFor, database: Database) -> None:
    Story(
        database,
        """
        plan yen: 1200 JPY per month
        customer ogawa in JPY at Asia/Tokyo
        2025-12-31 15:00 ogawa subscribes to yen
        2026-01-01 close period
        """,
    )
    yen = text_of(client.get("/api/v1/invoices/INV-000001/pdf", headers=key_for("read")))
    assert "Total ¥1,200" in yen
    # in Tokyo it was a new year already
    assert "2026-01-01 – 2026-01-31" in yen


def test_a_dinar_has_three_decimals(client: FlaskClient, key_for: KeyFor, database: Database) -> None:
    Story(
        database,
        """
        plan dinar: 1.250 KWD per month, 0.0005 KWD each of calls
        customer salem in KWD
        2026-01-01 salem subscribes to dinar
        2026-01-02 salem uses 3 calls
        2026-02-01 close period
        """,
    )
    dinar = text_of(client.get("/api/v1/invoices/INV-000002/pdf", headers=key_for("read")))
    # 3 x 0.0005 is 0.0015, rounded half away from zero to 0.002
    assert "3 KWD0.0005 KWD0.002" in dinar
    assert "Total KWD1.252" in dinar


def test_a_credit_note_says_what_was_taken_back_of_which_invoice(
    client: FlaskClient, key_for: KeyFor, database: Database
) -> None:
    Story(
        database,
        """
        plan pro: 20.00 EUR per month
        customer acme in EUR
        2026-01-01 acme subscribes to pro
        2026-01-01 close period
        2026-01-02 pay 15.00 of INV-000001
        2026-01-05 take back of INV-000001 8.00 of line 1 to credit
        """,
    )
    note = client.get("/api/v1/credit-notes/CN-000001/pdf", headers=key_for("read"))
    assert note.headers["Content-Disposition"] == "attachment; filename=CN-000001.pdf"
    lines = text_of(note).splitlines()
    # 5.00 were still due; 3.00 of what was paid come back as credit
    for told in (
        *("Credit note", "Number CN-000001", "Date 2026-01-05", "Of invoice INV-000001", "Total credited €8.00"),
        *("Taken off what was due €5.00", "Added to prepaid credit €3.00"),
    ):
        assert told in lines, (told, lines)
    assert client.get("/api/v1/credit-notes/CN-000009/pdf", headers=key_for("read")).status_code == 404
    invoice = text_of(client.get("/api/v1/invoices/INV-000001/pdf", headers=key_for("read")))
    assert "Taken off by credit notes -€5.00" in invoice
    assert "Due €0.00" in invoice


def test_the_page_offers_the_document(ada: Visitor) -> None:
    assert "/admin/invoices/INV-000003/pdf" in ada.get("/admin/invoices/INV-000003").get_data(as_text=True)
    assert "INV-000003" in text_of(ada.get("/admin/invoices/INV-000003/pdf"))


def test_a_stranger_sees_no_document(visitor: Visitor) -> None:
    assert visitor.get("/admin/invoices/INV-000003/pdf").status_code == 302
