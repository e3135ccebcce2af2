"""Usage that comes after its invoice, and invoices that are voided, told as stories; amounts by hand."""

from tests.scenarios.story import Story


def test_late_usage_is_an_adjustment_on_the_next_invoice(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-02-01 close period
    2026-02-10 acme uses 3 calls on 2026-01-20
    2026-02-11 acme uses 7 calls
    2026-03-01 close period
    """
    assert bill.lines == ["late 3 calls 3.00 USD", "7 calls 7.00 USD"]


def test_late_usage_is_priced_as_if_it_had_been_there_in_time(bill: Story) -> None:
    """
    plan tiers: calls graduated to 100 at 0.10 | above at 0.01
    2026-01-01 acme subscribes to tiers
    2026-01-10 acme uses 90 calls
    2026-02-01 close period
    2026-02-10 acme uses 20 calls on 2026-01-20
    2026-02-11 acme uses 1 calls
    2026-03-01 close period
    """
    # 110 calls are 10.00 + 0.10; 9.00 was charged
    assert bill.lines == ["late 20 calls 1.10 USD", "1 calls 0.10 USD"]


def test_late_usage_can_lower_what_was_charged(bill: Story) -> None:
    """
    plan bulk: calls volume to 100 at 0.10 | above at 0.05
    2026-01-01 acme subscribes to bulk
    2026-01-10 acme uses 100 calls
    2026-02-01 close period
    2026-02-10 acme uses 1 calls on 2026-01-20
    2026-02-11 acme uses 100 calls
    2026-03-01 close period
    """
    # 101 calls at 0.05 are 5.05; 10.00 was charged
    assert bill.lines == ["late 1 calls -4.95 USD", "100 calls 10.00 USD"]
    assert bill.total == "5.05"


def test_late_usage_within_the_quota_changes_nothing(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 1000 requests included, then 0.01 EUR each
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 10 requests
    2026-02-01 close period
    2026-02-10 acme uses 20 requests on 2026-01-20
    2026-03-01 close period
    """
    assert bill.lines == ["pro 20.00 EUR"]


def test_late_usage_fills_the_minimum_first(bill: Story) -> None:
    """
    plan committed: 1.00 USD each of calls, at least 50.00 USD
    2026-01-01 acme subscribes to committed
    2026-01-10 acme uses 10 calls
    2026-02-01 close period
    2026-02-10 acme uses 45 calls on 2026-01-20
    2026-02-11 acme uses 50 calls
    2026-03-01 close period
    """
    # 55.00 is due for January, 50.00 was charged
    assert bill.lines == ["late 45 calls 5.00 USD", "50 calls 50.00 USD"]


def test_usage_can_be_late_twice(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-02-01 close period
    2026-02-10 acme uses 3 calls on 2026-01-20
    2026-03-01 close period
    2026-03-10 acme uses 2 calls on 2026-01-21
    2026-03-11 acme uses 4 calls on 2026-02-21
    2026-04-01 close period
    """
    assert bill.lines == ["late 2 calls 2.00 USD", "late 4 calls 4.00 USD"]


def test_late_usage_does_not_call_for_an_invoice_of_its_own(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-02-01 close period
    2026-02-10 acme uses 3 calls on 2026-01-20
    2026-02-11 close period
    """
    assert bill.invoices == []


def test_a_voided_invoice_is_billed_again_on_the_next(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 void INV-000001
    2026-02-01 close period
    """
    assert bill.lines == ["pro 20.00 EUR", "pro 20.00 EUR"]
    assert bill.invoices == ["INV-000002 acme 40.00 EUR"]


def test_a_forgiven_invoice_is_never_billed_again(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 void INV-000001 and forgive
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 20.00 EUR"]


def test_late_usage_of_a_forgiven_period_is_still_billed(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-02-01 close period
    2026-02-02 void INV-000001 and forgive
    2026-02-10 acme uses 3 calls on 2026-01-20
    2026-03-01 close period
    """
    assert bill.lines == ["late 3 calls 3.00 USD"]


def test_late_usage_of_a_customer_who_left_is_billed_after_the_end(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-01-15 acme cancels
    2026-02-01 close period
    2026-02-10 acme uses 3 calls on 2026-01-12
    2026-02-11 close period
    2026-02-12 close after the end
    """
    assert bill.lines == ["late 3 calls 3.00 USD"]


def test_after_the_end_nothing_is_billed_twice(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-01-15 acme cancels
    2026-02-01 close period
    2026-02-10 acme uses 3 calls on 2026-01-12
    2026-02-12 close after the end
    2026-02-12 close after the end
    """
    assert bill.invoices == []


def test_late_usage_of_a_subsidiary_that_left_goes_on_its_parent_s_invoice(bill: Story) -> None:
    """
    plan payg: 1.00 USD each of calls
    customer group in USD
    customer north in USD paid by group
    2026-01-01 group subscribes to payg
    2026-01-01 north subscribes to payg
    2026-01-10 north uses 5 calls
    2026-01-15 north cancels
    2026-02-01 close period
    2026-02-10 north uses 3 calls on 2026-01-12
    2026-02-11 group uses 1 calls
    2026-03-01 close period
    """
    assert bill.lines == ["1 calls 1.00 USD", "north: late 3 calls 3.00 USD"]
