"""Changes of plan, seats and ends told as stories; amounts by hand."""

from tests.scenarios.story import Story


def test_an_upgrade_after_the_fee_was_paid_credits_the_unused_part(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    plan max: 62.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-02 pay INV-000001
    2026-01-11 acme changes to max
    2026-01-11 close period
    """
    # 21 of 31 days: 21.00 of pro come back, 42.00 of max are due
    assert bill.lines == ["credit fee -21.00 EUR", "max 42.00 EUR"]
    assert bill.total == "21.00"


def test_a_downgrade_leaves_a_credit_that_waits_for_the_next_invoice(bill: Story) -> None:
    """
    plan max: 62.00 EUR per month
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to max
    2026-01-01 close period
    2026-01-11 acme changes to pro
    2026-01-11 close period
    2026-02-01 close period
    """
    # -42.00 and 21.00 came to less than nothing; with February's 31.00 it is 10.00
    assert bill.invoices == ["INV-000002 acme 10.00 EUR"]
    assert sorted(bill.lines) == ["credit fee -42.00 EUR", "pro 21.00 EUR", "pro 31.00 EUR"]


def test_a_change_at_the_period_s_end_credits_nothing(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    plan max: 62.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-11 acme changes to max at period end
    2026-02-01 close period
    """
    assert bill.lines == ["max 62.00 EUR"]


def test_usage_before_a_change_is_priced_by_the_old_plan(bill: Story) -> None:
    """
    plan pro: 0.10 EUR each of calls
    plan max: 0.05 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-05 acme uses 10 calls
    2026-01-11 acme changes to max
    2026-01-20 acme uses 10 calls
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 1.00 EUR", "INV-000002 acme 0.50 EUR"]


def test_a_minimum_is_prorated_when_the_plan_changes(bill: Story) -> None:
    """
    plan pro: 0.10 EUR each of calls, at least 31.00 EUR
    plan max: 0.05 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-05 acme uses 10 calls
    2026-01-11 acme changes to max
    2026-01-11 close period
    """
    # 10 of 31 days of the minimum are 10.00
    assert bill.lines == ["10 calls 1.00 EUR", "calls minimum_commitment 9.00 EUR"]


def test_a_cancellation_now_bills_the_usage_so_far(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month in arrears, 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-05 acme uses 10 calls
    2026-01-11 acme cancels
    2026-01-20 acme uses 99 calls
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 11.00 EUR"]


def test_after_the_end_nothing_is_billed(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-11 acme cancels at period end
    2026-05-01 close period
    """
    assert bill.invoices == []


def test_more_seats_in_mid_period_are_prorated(bill: Story) -> None:
    """
    plan team: 5 x 31.00 USD per month
    2026-01-01 acme subscribes to team with 5 seats
    2026-01-01 close period
    2026-01-11 acme has 8 seats
    2026-01-11 close period
    """
    # 5 seats for 21 days come back (105.00), 8 seats for 21 days are due (168.00)
    assert bill.lines == ["credit fee -105.00 USD", "team 168.00 USD"]
    assert bill.total == "63.00"


def test_fewer_seats_leave_a_credit(bill: Story) -> None:
    """
    plan team: 5 x 31.00 USD per month
    2026-01-01 acme subscribes to team with 5 seats
    2026-01-01 close period
    2026-01-11 acme has 2 seats
    2026-02-01 close period
    """
    # 105.00 come back, 42.00 are due, and February's two seats: 62.00
    assert bill.invoices == []


def test_a_credit_that_lasts_over_months_is_used_up(bill: Story) -> None:
    """
    plan team: 5 x 31.00 USD per month
    2026-01-01 acme subscribes to team with 5 seats
    2026-01-01 close period
    2026-01-11 acme has 2 seats
    2026-02-01 close period
    2026-03-01 close period
    """
    # -105.00 + 42.00 + 62.00 = -1.00, and March's 62.00
    assert bill.invoices == ["INV-000002 acme 61.00 USD"]


def test_a_published_plan_is_not_changed_by_a_new_version(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    2026-01-01 acme subscribes to pro
    plan pro: 25.00 EUR per month
    2026-01-01 globex subscribes to pro
    2026-01-01 close period
    """
    assert sorted(line.split(" ", 1)[1] for line in bill.invoices) == ["acme 20.00 EUR", "globex 25.00 EUR"]


def test_backdated_subscriptions_are_billed_from_their_start(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    2025-12-01 acme subscribes to pro
    2026-01-15 close period
    """
    assert bill.invoices == ["INV-000001 acme 20.00 EUR", "INV-000002 acme 20.00 EUR"]


def test_no_seats_for_a_while_are_no_time_charged_twice(bill: Story) -> None:
    """
    plan team: 3 x 31.00 USD per month
    2026-01-01 acme subscribes to team with 3 seats
    2026-01-01 close period
    2026-01-11 acme has 0 seats
    2026-01-12 close period
    2026-01-21 acme has 1 seats
    2026-02-01 close period
    """
    # 3 seats for 21 days come back (63.00); one seat for 11 days (11.00) and for February (31.00) is less than that
    assert bill.invoices == []
