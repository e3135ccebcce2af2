"""Who sells and on which terms: numbers of their own, due dates, and what a document keeps."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.scenarios.story import Story
from tollkeeper.customers.customers import update_customer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.billing_run import bill_due_periods
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.legal_entities import save_legal_entity, set_terms
from tollkeeper.invoices.reading import get_invoice, list_invoices
from tollkeeper.storage.session import Database

BERLIN = {"line1": "Torstr. 1", "city": "Berlin", "country": "DE"}


def save(database: Database, key: str, **changes: Any) -> None:
    with database.transaction() as session:
        save_legal_entity(session, key, changes)


def agree(database: Database, customer: str, entity: str | None, days: int | None) -> None:
    with database.transaction() as session:
        set_terms(session, customer, legal_entity=entity, payment_term_days=days)


def test_an_invoice_is_due_thirty_days_after_its_issue_unless_something_else_was_agreed(database: Database) -> None:
    story = Story(database, "plan pro: 20.00 EUR per month\ncustomer acme in EUR\ncustomer beta in EUR")
    save(database, "default", payment_term_days=14)
    agree(database, "beta", None, 60)
    story.go_on("2026-01-31 acme subscribes to pro\n2026-01-31 beta subscribes to pro\n2026-01-31 close period")
    with database.snapshot() as session:
        due = {row.buyer["key"]: str(row.due_at)[:10] for row in list_invoices(session)}
    # 31 January and 14 days; 31 January and 60 days, of which 28 are February's
    assert due == {"acme": "2026-02-14", "beta": "2026-04-01"}


def test_each_entity_counts_its_own_invoices_whoever_issues_at_the_same_time(database: Database) -> None:
    people = [f"c{n}" for n in range(8)]
    story = "\n".join(f"customer {who} in EUR\n2026-01-01 {who} subscribes to pro" for who in people)
    Story(database, f"plan pro: 20.00 EUR per month\n{story}")
    save(database, "de", name="Toll GmbH", number_prefix="DE-2026-", number_digits=4)
    for who in people[:3]:
        agree(database, who, "de", None)
    now = datetime(2026, 1, 1, 2, tzinfo=UTC)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: bill_due_periods(database, now=now), range(4)))
    numbers = sorted(number for report in reports for number in report.invoices)
    assert numbers == [f"DE-2026-{n:04}" for n in (1, 2, 3)] + [f"INV-{n:06}" for n in (1, 2, 3, 4, 5)]
    with database.snapshot() as session:
        assert check_books(session) == []
        assert get_invoice(session, "DE-2026-0001").seller["name"] == "Toll GmbH"


def test_a_document_keeps_who_sold_and_who_bought_as_they_were(database: Database) -> None:
    story = Story(database, "plan pro: 20.00 EUR per month\ncustomer acme in EUR")
    ids = [{"type": "eu_vat", "value": "DE123456789"}]
    with database.transaction() as session:
        update_customer(session, "acme", {"address": BERLIN, "tax_ids": ids, "tax_exemption": "reverse"})
    save(database, "default", name="Toll Ltd", address={"city": "Dublin", "country": "IE"}, tax_id="IE1")
    story.go_on("2026-01-01 acme subscribes to pro\n2026-01-01 close period")
    with database.transaction() as session:
        update_customer(session, "acme", {"address": None, "tax_ids": [], "tax_exemption": "none", "name": "New"})
    save(database, "default", name="Other", tax_id=None)
    with database.snapshot() as session:
        kept = get_invoice(session, "INV-000001")
        assert kept.buyer == {
            "key": "acme",
            "name": "Acme",
            "email": None,
            "time_zone": "UTC",
            "address": BERLIN,
            "tax_ids": ids,
            "tax_exemption": "reverse",
        }
        assert (kept.seller["name"], kept.seller["tax_id"]) == ("Toll Ltd", "IE1")
        assert check_books(session) == []


def test_a_new_prefix_goes_on_counting(database: Database) -> None:
    story = Story(database, "plan pro: 20.00 EUR per month\n2026-01-01 acme subscribes to pro\n2026-01-01 close period")
    save(database, "default", number_prefix="R-")
    story.go_on("2026-02-01 close period")
    assert story.numbers == ["R-000002"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "/name"),
        ({"number_prefix": "a b"}, "/number_prefix"),
        ({"number_prefix": "R2"}, "/number_prefix"),
        ({"number_digits": 0}, "/number_digits"),
        ({"payment_term_days": 366}, "/payment_term_days"),
        ({"credit_note_prefix": "DE-"}, "/credit_note_prefix"),
        ({"last_number": 7}, "/last_number"),
        ({"minimum_totals": {"JPY": "5.5"}}, "/minimum_totals/JPY"),
        ({"minimum_totals": {"EUR": "-1"}}, "/minimum_totals/EUR"),
        ({"minimum_totals": {"euro": "1"}}, "/minimum_totals/euro"),
        ({"last_below_minimum": "keep"}, "/last_below_minimum"),
    ],
)
def test_a_wrong_field_is_named(database: Database, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        save(database, "de", **changes)
    assert refused.value.fields[0].path == field


def test_two_entities_never_share_a_prefix(database: Database) -> None:
    with pytest.raises(Conflict, match="INV-"):
        save(database, "de", number_prefix="INV-")
    Story(database, "plan pro: 20.00 EUR per month\n2026-01-01 acme subscribes to pro\n2026-01-01 close period")
    save(database, "default", number_prefix="R-")
    with pytest.raises(Conflict, match="has numbers that begin with 'INV-'"):
        save(database, "de", number_prefix="INV-")


def test_a_prefix_that_credit_notes_of_another_entity_had_is_not_taken_over(database: Database) -> None:
    story = "plan pro: 20.00 EUR per month\n2026-01-01 acme subscribes to pro\n2026-01-01 close period"
    Story(database, f"{story}\n2026-01-02 take back of INV-000001 1.00")
    save(database, "default", credit_note_prefix="GS-")
    with pytest.raises(Conflict, match="has numbers that begin with 'CN-'"):
        save(database, "de", credit_note_prefix="CN-")
