"""Invoices with prepaid credit at Stripe: negative lines, the same total, and nothing where nothing is due."""

from sqlalchemy import select

from tests.payments.conftest import NOW
from tests.scenarios.story import Story
from tests.stripe_account import FakeStripe
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.payments.books import check_stripe
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.sync import sync_due_invoices
from tollkeeper.payments.tables import StripeSync
from tollkeeper.storage.session import Database

STORY = """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    customer acme in EUR
    2026-01-01 grant acme {} EUR of promotional credit named welcome
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
"""


def test_credit_reaches_stripe_as_a_negative_line(database: Database, fake: FakeStripe, account: StripeAccount) -> None:
    Story(database, STORY.format("5.00"))
    assert sync_due_invoices(database, account, now=NOW).done == 1
    [found] = fake.invoices.values()
    assert [line["amount"] for line in found["lines"]["data"]] == [2000, -500]
    assert (found["total"], found["status"]) == (1500, "open")
    with database.snapshot() as session:
        assert check_stripe(session, account) == []


def test_an_invoice_that_credit_has_paid_does_not_go_to_stripe(
    database: Database, fake: FakeStripe, account: StripeAccount
) -> None:
    Story(database, STORY.format("20.00"))
    assert sync_due_invoices(database, account, now=NOW).done == 0
    assert fake.invoices == {}
    with database.snapshot() as session:
        assert session.scalars(select(StripeSync)).all() == []
        assert get_invoice(session, "INV-000001").status == "paid"
        assert check_stripe(session, account) == []


def test_a_voided_invoice_with_credit_is_voided_at_stripe(
    database: Database, fake: FakeStripe, account: StripeAccount
) -> None:
    story = Story(database, STORY.format("5.00"))
    sync_due_invoices(database, account, now=NOW)
    story.go_on("2026-02-01 void INV-000001")
    sync_due_invoices(database, account, now=NOW)
    [found] = fake.invoices.values()
    assert found["status"] == "void"
    assert story.credit("acme", "2026-02-01") == "5.00"
