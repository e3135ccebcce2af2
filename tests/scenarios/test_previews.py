"""The next invoice as it stands, told as stories; amounts by hand."""

from tests.scenarios.story import Story


def test_the_preview_shows_the_usage_of_the_running_period(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 100 calls included, then 0.10 EUR each
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-10 acme uses 130 calls
    2026-01-15 look at acme
    """
    assert bill.preview == ["calls 3.00"]


def test_the_preview_shows_a_fee_that_is_due_and_not_yet_billed(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-15 look at acme
    """
    assert bill.preview == ["fee 20.00"]


def test_the_preview_of_a_subsidiary_is_its_payer_s(bill: Story) -> None:
    """
    plan payg: 1.00 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    2026-01-01 north subscribes to payg
    2026-01-01 south subscribes to payg
    2026-01-10 north uses 2 calls
    2026-01-10 south uses 5 calls
    2026-01-15 look at north
    """
    assert bill.preview == ["calls 2.00", "calls 5.00"]


def test_the_preview_shows_late_usage(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-02-01 close period
    2026-02-10 acme uses 3 calls on 2026-01-20
    2026-02-11 acme uses 7 calls
    2026-02-12 look at acme
    """
    assert bill.preview == ["calls 3.00", "calls 7.00"]


def test_looking_changes_nothing(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-01-15 look at acme
    2026-02-02 look at acme
    2026-02-02 close period
    """
    assert bill.preview == ["calls 5.00"]
    assert bill.invoices == ["INV-000001 acme 5.00 USD"]
