"""What the admin pages say and do, without a browser and so without JavaScript."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from flask import Flask

from tests.shop import add_customer
from tests.web.seeded import NOW
from tests.web.visitor import Visitor, text_of
from tollkeeper.access.keys import authenticate
from tollkeeper.customers.customers import find_customer, get_customer, update_customer
from tollkeeper.customers.map_consumer import list_mappings
from tollkeeper.customers.subjects import customer_of_subject
from tollkeeper.invoices.billing_run import bill_due_periods
from tollkeeper.invoices.legal_entities import save_legal_entity
from tollkeeper.invoices.tables import DEFAULT_LEGAL_ENTITY
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import subscribe
from tollkeeper.taxes.rates import TaxRateDraft, create_rate


def test_today_shows_what_was_counted_and_what_it_comes_to(ada: Visitor) -> None:
    page = ada.text("/admin/")
    # 18 March: 106 requests that were let through and 2 that were refused
    assert "Requests 106 4,450 in 30 days" in page
    assert "Refused 2 42 in 30 days" in page
    assert "INV-000004 Nimbus Travel Labs" in page
    revenue = ada.text("/admin/today/revenue")
    assert "€121.02" in revenue
    assert "$20.00" in revenue


def test_an_invoice_shows_its_lines_by_subsidiary_and_they_add_up(ada: Visitor) -> None:
    page = ada.text("/admin/invoices/INV-000003")
    assert "Sub-total Kong Air €75.48" in page
    assert "Sub-total Kong Air Cargo €54.00" in page
    # 75.48 + 54.00
    assert "Total €129.48" in page
    assert "stand-in for Stripe" in page


def test_an_invoice_shows_its_tax_and_takes_no_credit_note_on_it(ada: Visitor, books_database: Database) -> None:
    with books_database.transaction() as session:
        changes = {"address": {"country": "DE"}, "tax_mode": "own"}
        save_legal_entity(session, DEFAULT_LEGAL_ENTITY, changes)
        create_rate(session, TaxRateDraft(name="VAT", country="DE", percentage=Decimal(19)), now=NOW)
        add_customer(session, "taxed")
        update_customer(session, "taxed", {"address": {"country": "DE"}})
        subscribe(session, "taxed", "start-up", start=NOW, now=NOW)
    [number] = bill_due_periods(books_database, now=NOW + timedelta(hours=2)).invoices
    page = ada.text(f"/admin/invoices/{number}")
    assert "VAT 19 % on 20.00" in page
    assert "$3.80" in page
    assert "Total $23.80" in page
    assert page.count("VAT 19 %") == 1, "it is not offered as a line to take back"


def test_an_invoice_with_a_slash_in_its_number_is_opened_and_paid(ada: Visitor, books_database: Database) -> None:
    with books_database.transaction() as session:
        save_legal_entity(session, DEFAULT_LEGAL_ENTITY, {"number_prefix": "DE/"})
        add_customer(session, "slashed")
        subscribe(session, "slashed", "start-up", start=NOW, now=NOW)
    [number] = bill_due_periods(books_database, now=NOW + timedelta(hours=2)).invoices
    assert number.startswith("DE/")
    links = re.findall(rf'href="([^"]+)">{number}<', ada.get("/admin/invoices").get_data(as_text=True))
    assert len(links) == 1
    assert f"Invoice {number}" in ada.text(links[0])
    [pay] = re.findall(r'action="([^"]+/payments)"', ada.get(links[0]).get_data(as_text=True))
    ada.submit(pay, on=links[0], amount="")
    assert "The payment is recorded." in ada.text(links[0])


def test_a_line_of_thousands_of_digits_is_no_line_to_take_back(ada: Visitor) -> None:
    on = "/admin/invoices/INV-000001"
    fields = {"amount": "1.00", "line": "9" * 5_000, "reason": "order_change"}
    answer = ada.submit(f"{on}/credit-notes", on=on, **fields)
    assert answer.status_code == 422
    assert "choose one of the lines" in text_of(answer)


def test_invoices_are_filtered_by_state(ada: Visitor) -> None:
    assert "INV-000001" in ada.text("/admin/invoices?status=paid")
    assert "INV-000002" not in ada.text("/admin/invoices?status=paid")
    assert "No invoice is void." in ada.text("/admin/invoices?status=void")


def test_a_plan_is_told_in_words(ada: Visitor) -> None:
    page = ada.text("/admin/plans/pro")
    assert "€49.00, in advance" in page
    assert "up to 500 €0.00" in page
    assert "above 1,000 €0.0075" in page
    assert "€5.00 per started 10,000" in page
    assert "2,000 free in each period" in page
    assert "60 each month, then refuses with 429" in ada.text("/admin/plans/free")


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("key", ".."),
        ("key", "new"),
        ("key", "a/b"),
        ("key", "k" * 65),
        ("name", "n" * 201),
        ("name", "two\nlines"),
        ("email", "ada"),
        ("time_zone", "../etc/passwd"),
    ],
)
def test_the_form_refuses_what_the_api_refuses(ada: Visitor, database: Database, field: str, typed: str) -> None:
    new = {"name": "Zephyr", "key": "zephyr", "currency": "EUR", "time_zone": "UTC", "email": "", "parent": ""}
    answer = ada.submit("/admin/customers/new", **(new | {field: typed}))
    assert answer.status_code == 422
    assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', answer.get_data(as_text=True))
    with database.snapshot() as session:
        assert find_customer(session, new["key"]) is None


def test_a_consumer_has_a_name_of_at_most_256_characters(ada: Visitor) -> None:
    page = "/admin/customers/kong-air"
    answer = ada.submit(f"{page}/consumers", on=page, match="username", value="v" * 257, since="")
    assert answer.status_code == 422
    assert "needs 1 to 256 characters" in text_of(answer)


def test_a_customer_is_created_edited_and_archived(ada: Visitor) -> None:
    new = {
        "name": "Zephyr",
        "key": "zephyr",
        "currency": "eur",
        "time_zone": "Europe/Paris",
        "parent": "kong-air-group",
    }
    assert ada.submit("/admin/customers/new", **new).location == "/admin/customers/zephyr"
    page = ada.text("/admin/customers/zephyr")
    assert "Paid by Kong Air Group" in page
    assert "Currency EUR" in page
    changes = {"name": "Zephyr Sarl", "currency": "EUR", "time_zone": "Europe/Paris", "parent": "kong-air-group"}
    ada.submit("/admin/customers/zephyr/edit", **changes)
    assert "Zephyr Sarl" in ada.text("/admin/customers")
    ada.submit("/admin/customers/zephyr/archive", on="/admin/customers/zephyr")
    assert "zephyr" not in ada.text("/admin/customers")


@pytest.mark.parametrize(
    ("field", "wrong", "message"),
    [
        ("currency", "EURO", "is no ISO 4217 currency"),
        ("time_zone", "Mars/Base", "is no time zone"),
        ("parent", "nobody", "there is no customer 'nobody'"),
        ("key", "tess", "a customer with the key 'tess' is there already"),
        ("currency", "JPY", "have one currency"),
    ],
)
def test_a_wrong_customer_is_shown_again_with_what_is_wrong(ada: Visitor, field: str, wrong: str, message: str) -> None:
    new = {"name": "Zephyr", "key": "zephyr", "currency": "EUR", "time_zone": "UTC", "parent": "kong-air-group"}
    answer = ada.submit("/admin/customers/new", **{**new, field: wrong})
    assert answer.status_code == 422
    assert message in text_of(answer)
    assert 'value="Zephyr"' in answer.get_data(as_text=True)


def test_a_parent_can_be_taken_away(ada: Visitor) -> None:
    changes = {"name": "Kong Air Cargo", "currency": "EUR", "time_zone": "UTC", "parent": ""}
    ada.submit("/admin/customers/kong-air-cargo/edit", **changes)
    assert "Paid by itself" in ada.text("/admin/customers/kong-air-cargo")


def test_an_unmapped_consumer_is_mapped_with_one_form(ada: Visitor, books_database: Database) -> None:
    assert "crew-portal" in ada.text("/admin/unmapped")
    answer = ada.submit(
        "/admin/unmapped", subject="consumer:crew-portal", customer="kong-air", since="2026-02-01T00:00:00Z"
    )
    assert answer.location == "/admin/unmapped"
    assert "Everything that was sent belongs to a customer." in ada.text("/admin/unmapped")
    with books_database.snapshot() as session:
        mappings = list_mappings(session, customer_id=get_customer(session, "kong-air").id)
    assert "consumer:crew-portal" in [mapping.value for mapping in mappings]


def test_unmapped_usage_is_estimated_in_money_on_a_plan_of_choice(ada: Visitor) -> None:
    words = ada.text("/admin/unmapped?plan=pro")
    assert "An estimate, no bill" in words
    assert "one billing period of Pro" in words
    # fewer than 500 flights are free of charge, and fewer than 12,000 tokens are one package of 5.00
    assert "≈ €5.00" in words
    assert "≈ $0.00" in ada.text("/admin/unmapped?plan=free")


def test_a_mapping_that_is_refused_says_why(ada: Visitor) -> None:
    ada.submit("/admin/unmapped", subject="consumer:tess", customer="kong-air", since="")
    assert "Not mapped: the consumer is mapped by subject" in ada.text("/admin/unmapped")


def test_a_consumer_is_mapped_and_ended_on_the_customers_page(ada: Visitor) -> None:
    on = "/admin/customers/nimbus"
    ada.submit(f"{on}/consumers", on=on, match="username", value="nimbus-web", since="")
    page = ada.get(on).get_data(as_text=True)
    assert "nimbus-web" in page
    wrong = ada.submit(f"{on}/consumers", on=on, match="username", value="", since="")
    assert wrong.status_code == 422
    assert "needs 1 to 256 characters" in text_of(wrong)


def move_page_of(ada: Visitor, customer: str) -> str:
    found = re.search(
        rf'href="(/admin/customers/{customer}/consumers/[^"]+/move)"', ada.get(f"/admin/customers/{customer}").text
    )
    assert found is not None
    return found[1]


def test_a_consumer_moves_to_another_customer_after_a_page_that_says_what_changes(
    ada: Visitor, books_database: Database
) -> None:
    page = move_page_of(ada, "nimbus")
    assert "Move consumer:nimbus-bot to another customer" in ada.text(page)
    review = f"{page}?to=tess&since=2026-02-10T00:00"
    words = ada.text(review)
    assert "785 requests of consumer:nimbus-bot since then, and all to come, count for Tess Okafor" in words
    assert "Of Nimbus Travel Labs these reach past the date: INV-000004 , INV-000002 ." in words
    with books_database.snapshot() as session:
        assert [one.valid_to for one in list_mappings(session, customer_id=get_customer(session, "nimbus").id)] == [
            None
        ]
    answer = ada.submit(page, on=review, to="tess", since="2026-02-10T00:00:00+00:00")
    assert answer.location == "/admin/customers/nimbus"
    assert "Usage of consumer:nimbus-bot counts for Tess Okafor from 10 Feb 2026, 00:00 UTC on." in ada.text(
        answer.location
    )
    since = datetime(2026, 2, 10, tzinfo=UTC)
    with books_database.snapshot() as session:
        before, after = (
            customer_of_subject(session, "consumer:nimbus-bot", instant)
            for instant in (since - timedelta(microseconds=1), since)
        )
    assert before is not None
    assert after is not None
    assert (before.key, after.key) == ("nimbus", "tess")
    again = ada.submit(page, on="/admin/customers/tess", to="kong-air", since="")
    assert again.status_code == 422
    assert "the mapping ended on 10 Feb 2026, 00:00 UTC; nothing was moved" in text_of(again)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("to=nobody", "choose a customer"),
        ("to=nimbus", "has the consumer already; choose another customer"),
        ("to=tess&since=soon", "write it like 2026-03-01T00:00, in UTC"),
    ],
)
def test_a_move_that_cannot_be_is_refused_beside_its_field(ada: Visitor, query: str, complaint: str) -> None:
    answer = ada.get(f"{move_page_of(ada, 'nimbus')}?{query}")
    assert answer.status_code == 422
    assert complaint in text_of(answer)


def test_a_plan_is_started_and_cancelled(ada: Visitor) -> None:
    on = "/admin/customers/tess"
    ada.submit(f"{on}/subscriptions", on=on, plan="start-up", start="")
    page = ada.get(on).get_data(as_text=True)
    assert "Subscribed to Start-up." in page
    cancel = re.findall(r'action="(/admin/customers/tess/subscriptions/[^"]+/cancel)"', page)
    assert len(cancel) == 2
    ada.submit(cancel[-1], on=on, at="now")
    assert "Start-up ended" in ada.text(on)
    ada.submit(cancel[0], on=on, at="period_end")
    assert "1 Apr 2026, 00:00 UTC" in ada.text(on)


def test_an_act_on_what_is_another_customers_is_refused(ada: Visitor) -> None:
    page = ada.get("/admin/customers/tess").get_data(as_text=True)
    acts = re.findall(r'action="/admin/customers/tess/((?:subscriptions/[^"]+/cancel)|(?:consumers/[^"]+/end))"', page)
    assert {act.partition("/")[0] for act in acts} == {"subscriptions", "consumers"}
    text_before = ada.text("/admin/customers/tess")
    for act in acts:
        answer = ada.submit(f"/admin/customers/kong-air/{act}", on="/admin/customers/kong-air", at="now")
        assert answer.status_code == 404
    assert ada.text("/admin/customers/tess") == text_before


def test_a_subscription_is_paused_and_resumed_and_a_planned_end_is_taken_back(ada: Visitor) -> None:
    on = "/admin/customers/tess"
    ada.submit(f"{on}/subscriptions", on=on, plan="start-up", start="")
    page = ada.get(on).get_data(as_text=True)
    base = re.findall(rf'action="({on}/subscriptions/[^"]+)/pause"', page)[-1]
    ada.submit(f"{base}/pause", on=on)
    page = ada.text(on)
    assert "Paused." in page
    assert "Start-up paused" in page
    ada.submit(f"{base}/resume", on=on)
    assert "Resumed." in ada.text(on)
    ada.submit(f"{base}/cancel", on=on, at="period_end")
    assert "cancel, 18 Apr 2026, 14:30 UTC" in ada.text(on)
    ada.submit(f"{base}/undo", on=on, planned="cancel")
    page = ada.get(on).get_data(as_text=True)
    assert "Taken back." in page
    assert f'action="{base}/cancel"' in page
    ada.submit(f"{base}/undo", on=on, planned="cancel")
    assert "is still to come" in ada.text(on)


def test_the_same_plan_twice_is_refused_with_the_reason(ada: Visitor) -> None:
    on = "/admin/customers/tess"
    ada.submit(f"{on}/subscriptions", on=on, plan="free", start="")
    assert "Not subscribed: the customer is on plan 'free' since" in ada.text(on)


def test_an_api_key_is_shown_once_and_revoked(ada: Visitor, books_database: Database) -> None:
    made = ada.submit("/admin/api-keys", label="node-9", scopes=["ingest", "gateway"])
    token = re.search(r"tk_[0-9a-f]{26}_[0-9a-f]{64}", made.get_data(as_text=True))
    assert token is not None
    assert made.headers["Cache-Control"] == "no-store"
    with books_database.snapshot() as session:
        key = authenticate(session, token[0], now=NOW)
    assert key is not None
    assert token[0] not in ada.get("/admin/api-keys").get_data(as_text=True)
    ada.submit(f"/admin/api-keys/{key.id}/revoke", on="/admin/api-keys")
    with books_database.snapshot() as session:
        assert authenticate(session, token[0], now=NOW) is None


def test_an_api_key_without_scopes_is_refused_beside_the_field(ada: Visitor) -> None:
    answer = ada.submit("/admin/api-keys", label="node-9")
    assert answer.status_code == 422
    assert "choose from ingest" in text_of(answer)


def test_usage_is_split_by_customer_and_by_a_dimension(ada: Visitor) -> None:
    by_customer = ada.text("/admin/usage?what=meter:requests&by=customer&days=7")
    assert "Kong Air Cargo" in by_customer
    by_model = ada.text("/admin/usage?what=meter:output_tokens&by=model&customer=nimbus")
    assert "gpt-4o-mini" in by_model
    assert "claude-sonnet-4-5" in by_model


def test_a_silent_node_is_seen(ada: Visitor) -> None:
    assert "node-8 version 0.1.0 silent" in ada.text("/admin/nodes")


def test_no_secret_is_on_the_settings_page(ada: Visitor) -> None:
    page = ada.text("/admin/health")
    assert "TOLLKEEPER_SECRET_KEY Signs sessions" in page
    assert "of the tests" not in page


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/admin/customers/nobody", 404, "There is no customer 'nobody'."),
        ("/admin/nothing", 404, "There is nothing here"),
        ("/admin/invoices?status=lost", 422, "choose from draft"),
        ("/admin/usage?what=meter:none", 404, "There is no meter 'none'."),
        ("/admin/customers?after=%00", 400, "holds a NUL character"),
        ("/admin/customers/%00", 400, "holds a NUL character"),
    ],
)
def test_an_error_is_a_page_with_a_way_on(ada: Visitor, path: str, status: int, words: str) -> None:
    answer = ada.get(path)
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert words in text_of(answer)
    assert "Go to Today" in text_of(answer)


def test_a_fault_of_ours_is_a_page_that_tells_nothing_of_the_inside(
    ada: Visitor, admin_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise ZeroDivisionError("inner words")

    monkeypatch.setitem(admin_app.view_functions, "admin.plans.show_list", fail)
    answer = ada.get("/admin/plans")
    assert (answer.status_code, answer.mimetype) == (500, "text/html")
    assert "Something failed here" in text_of(answer)
    assert "inner words" not in text_of(answer)


def test_the_front_door_leads_to_today(ada: Visitor) -> None:
    assert ada.get("/").location == "/admin/"


def test_a_payment_is_recorded_on_the_invoices_page_and_the_rest_given_up(ada: Visitor) -> None:
    on = "/admin/invoices/INV-000003"
    ada.submit(f"{on}/payments", on=on, amount="100.00", reference="wire 7", received_at="", key="form-1")
    ada.submit(f"{on}/payments", on=on, amount="100.00", reference="wire 7", received_at="", key="form-1")
    page = ada.text(on)
    # 129.48 - 100.00, once though the form was sent twice
    assert "Still due €29.48" in page
    assert "past Stripe wire 7 admin ada" in page
    refused = ada.submit(f"{on}/payments", on=on, amount="30.00", reference="wire 8", received_at="", key="form-2")
    assert refused.status_code == 422
    assert "Not done: /amount: has to be more than zero and at most the 29.48 that is due" in text_of(refused)
    assert 'value="wire 8"' in refused.get_data(as_text=True)
    ada.submit(f"{on}/give-up", on=on)
    assert "uncollectible" in ada.text(on)
