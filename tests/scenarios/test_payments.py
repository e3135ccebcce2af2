"""Paid in parts, too late, or never: told as stories; amounts by hand."""

import pytest

from tests.scenarios.story import Story
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.states import amount_due, list_acts
from tollkeeper.storage.session import Database


def test_an_invoice_paid_in_three_parts_is_paid_with_the_last(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 pay 5.00 of INV-000001
    2026-01-06 pay 5.00 of INV-000001
    """
    assert bill.statuses() == ["partly_paid"]
    bill.go_on("2026-01-07 pay 10.00 of INV-000001")
    assert bill.statuses() == ["paid"]
    with pytest.raises(Conflict, match="is paid"):
        bill.go_on("2026-01-08 pay 0.01 of INV-000001")


def test_nobody_pays_more_than_is_due(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 pay 15.00 of INV-000001
    """
    with pytest.raises(InvalidInput, match=r"at most the 5\.00 that is due"):
        bill.go_on("2026-01-06 pay 5.01 of INV-000001")


def test_an_invoice_is_overdue_from_its_due_date_on_and_paid_after_all(bill: Story, database: Database) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-20 pay 8.00 of INV-000001
    2026-01-30 23:59:59 find overdue
    """
    assert bill.statuses() == ["partly_paid"]
    bill.go_on("2026-01-31 find overdue")
    assert bill.statuses() == ["overdue"]
    bill.go_on("2026-02-03 pay 2.00 of INV-000001")
    assert bill.statuses() == ["overdue"]
    bill.go_on("2026-02-04 pay INV-000001")
    with database.snapshot() as session:
        invoice = get_invoice(session, "INV-000001")
        acts = [(act.kind, act.from_status, act.to_status, act.by) for act in list_acts(session, invoice.id)]
        assert (invoice.status, invoice.amount_paid_minor, amount_due(invoice)) == ("paid", 2000, 0)
    assert acts == [
        ("issued", "draft", "issued", "billing run"),
        ("payment", "issued", "partly_paid", "story"),
        ("overdue", "partly_paid", "overdue", "job mark_overdue"),
        ("payment", "overdue", "overdue", "story"),
        ("payment", "overdue", "paid", "system"),
    ]


def test_a_bad_debt_may_still_be_paid_or_voided(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    customer beta in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-02 beta subscribes to pro
    2026-01-02 close period
    2026-03-01 give up on INV-000001
    2026-03-01 give up on INV-000001
    2026-03-01 give up on INV-000002
    """
    assert bill.statuses() == ["uncollectible", "uncollectible"]
    bill.go_on("2026-04-01 pay INV-000001\n2026-04-01 void INV-000002 and forgive\n2026-05-01 find overdue")
    assert bill.statuses() == ["paid", "void"]
    with pytest.raises(Conflict, match="nothing is due"):
        bill.go_on("2026-05-02 give up on INV-000001")


def test_what_was_paid_in_part_is_not_voided(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 pay 0.01 of INV-000001
    """
    with pytest.raises(Conflict, match="credit note"):
        bill.go_on("2026-01-06 void INV-000001")
