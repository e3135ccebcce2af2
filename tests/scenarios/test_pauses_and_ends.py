"""Pauses, ends with and without credit, and plans that were taken back, told as stories; amounts by hand."""

from decimal import Decimal

from tests.scenarios.story import Story


def test_a_pause_gives_back_the_fee_for_its_time(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-02 pay INV-000001
    2026-01-11 acme pauses
    2026-01-21 acme resumes
    2026-02-01 close period
    """
    # 10 January to the end: 21 of 31 days come back; 11 days are due again; February is 31.00
    assert sorted(bill.lines) == ["credit fee -21.00 EUR", "pro 11.00 EUR", "pro 31.00 EUR"]
    assert bill.invoices == ["INV-000002 acme 21.00 EUR"]


def test_months_that_are_paused_as_a_whole_cost_nothing(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month, 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-02-01 acme pauses
    2026-05-01 acme resumes
    2026-05-01 close period
    """
    # Nothing of February to April; May's fee is due when it begins.
    assert bill.invoices == ["INV-000002 acme 31.00 EUR"]


def test_a_year_s_pause_ends_by_itself_and_is_billed_on(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-15 acme pauses from 2026-02-01 until 2027-02-01
    2026-06-01 close period
    2027-02-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 31.00 EUR"]


def test_usage_in_a_pause_is_not_charged_and_the_tiers_go_on_after_it(bill: Story) -> None:
    """
    plan pro: 100 calls included, then 0.10 EUR each
    2026-01-01 acme subscribes to pro
    2026-01-05 acme uses 90 calls
    2026-01-11 acme pauses
    2026-01-15 acme uses 1000 calls
    2026-01-21 acme resumes
    2026-01-25 acme uses 20 calls
    2026-02-01 close period
    """
    # 90 + 20 = 110: the pause does not give another 100 free ones
    assert bill.total == "1.00"


def test_a_minimum_is_not_due_for_the_paused_time(bill: Story) -> None:
    """
    plan pro: 0.10 EUR each of calls, at least 31.00 EUR
    2026-01-01 acme subscribes to pro
    2026-01-05 acme uses 10 calls
    2026-01-11 acme pauses
    2026-01-21 acme resumes
    2026-02-01 close period
    """
    # 21 of 31 days: 21.00, of which 1.00 is used
    assert bill.lines == ["10 calls 1.00 EUR", "calls minimum_commitment 20.00 EUR"]


def test_a_fee_in_arrears_is_due_for_the_time_before_and_after_the_pause(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month in arrears
    2026-01-01 acme subscribes to pro
    2026-01-11 acme pauses until 2026-01-21
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 10.00 EUR", "INV-000002 acme 11.00 EUR"]


def test_one_that_is_cancelled_in_a_pause_is_billed_no_more(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month, 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 acme uses 220 calls
    2026-01-11 acme pauses
    2026-01-21 acme cancels
    2026-01-21 close period
    2026-03-01 close period
    """
    # 22.00 of usage less 21.00: the fee from 11 January came back with the pause
    assert bill.statuses() == ["issued", "issued"]
    bill.go_on("2026-03-02 void INV-000002\n2026-03-02 close after the end")
    assert bill.invoices == ["INV-000003 acme 1.00 EUR"]


def test_a_pause_over_leap_day_is_29_days_of_february(bill: Story) -> None:
    """
    plan pro: 29.00 USD per month
    2028-02-01 acme subscribes to pro
    2028-02-01 close period
    2028-02-29 acme pauses until 2028-03-01
    2028-03-01 close period
    """
    # 1 of 29 days comes back on March's 29.00
    assert bill.total == "28.00"


def test_an_end_without_credit_keeps_the_whole_fee(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month, 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 acme uses 10 calls
    2026-01-11 acme cancels without credit
    2026-01-20 acme uses 99 calls
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 1.00 EUR"]
    assert bill.lines == ["10 calls 1.00 EUR"]


def test_an_end_on_a_date_with_credit_gives_back_the_days_after_it(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month, 1.00 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 acme uses 30 calls
    2026-01-05 acme cancels on 2026-01-21
    2026-01-21 close period
    """
    # 11 of 31 days come back, 30 calls are due
    assert bill.lines == ["credit fee -11.00 EUR", "30 calls 30.00 EUR"]


def test_a_cancellation_that_is_taken_back_bills_on_as_before(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 acme cancels at period end
    2026-01-06 acme takes back the cancel
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 31.00 EUR"]


def test_the_days_that_a_planned_end_gave_back_are_due_again_when_it_is_taken_back(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month, 1.00 EUR per week for support
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 acme cancels on 2026-01-21
    2026-01-08 close period
    2026-01-09 acme takes back the cancel
    2026-02-01 close period
    """
    # The 11.00 that came back on 8 January (and waited, as they were more than the 1.00 of support) are due again:
    # 3 weeks of support from 15 January on are 3.00, that of the 8th 1.00, February's fee 31.00
    assert sum(Decimal(one.split()[2]) for one in bill.invoices) == Decimal("35.00")


def test_a_planned_change_that_is_taken_back_leaves_the_old_plan(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    plan max: 62.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-11 acme changes to max at period end
    2026-01-12 acme takes back the change plan
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 31.00 EUR", "INV-000002 acme 31.00 EUR"]


def test_a_change_at_the_instant_of_the_billing_gives_everything_back(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    plan max: 62.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-01 acme changes to max
    2026-01-01 close period
    """
    assert sorted(bill.lines) == ["credit fee -31.00 EUR", "max 62.00 EUR"]


def test_seats_and_a_pause_together(bill: Story) -> None:
    """
    plan team: 2 x 31.00 USD per month
    2026-01-01 acme subscribes to team with 2 seats
    2026-01-01 close period
    2026-01-11 acme pauses until 2026-01-21
    2026-01-16 acme has 4 seats
    2026-02-01 close period
    """
    # 2 x 21.00 come back; from 21 January 4 seats for 11 days: 44.00; February 4 x 31.00 = 124.00
    assert bill.invoices == ["INV-000002 acme 2.00 USD", "INV-000003 acme 124.00 USD"]
