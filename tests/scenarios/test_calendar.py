"""Fees, months and clocks told as stories; amounts by hand."""

from tests.scenarios.story import Story


def test_a_fee_in_advance_is_billed_when_its_period_begins(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 20.00 EUR"]


def test_a_fee_in_arrears_is_billed_when_its_period_ends(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month in arrears
    2026-01-01 acme subscribes to pro
    2026-01-31 23:59:59 close period
    """
    assert bill.invoices == []


def test_a_month_from_the_31st_ends_on_the_last_day_and_comes_back_to_the_31st(bill: Story) -> None:
    """
    plan pro: 10.00 EUR per month
    2026-01-31 acme subscribes to pro
    2026-02-27 23:59:59 close period
    2026-02-28 close period
    2026-03-30 close period
    2026-03-31 close period
    """
    assert bill.invoices == ["INV-000003 acme 10.00 EUR"]


def test_in_a_leap_year_the_period_ends_on_29_february(bill: Story) -> None:
    """
    plan pro: 10.00 EUR per month in arrears
    2028-01-31 acme subscribes to pro
    2028-02-28 23:59:59 close period
    2028-02-29 close period
    """
    assert bill.invoices == ["INV-000001 acme 10.00 EUR"]


def test_a_first_period_that_an_anchor_cuts_is_prorated(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-22 acme subscribes to pro anchored 2026-01-01
    2026-01-22 close period
    """
    # 10 of 31 days
    assert bill.lines == ["pro 10.00 EUR"]


def test_proration_is_to_the_second(bill: Story) -> None:
    """
    plan pro: 100.00 EUR per month
    2026-04-16 12:00:00 acme subscribes to pro anchored 2026-04-01
    2026-04-16 12:00:00 close period
    """
    # 14.5 of 30 days: 48.333...
    assert bill.lines == ["pro 48.33 EUR"]


def test_summer_time_makes_march_an_hour_shorter(bill: Story) -> None:
    """
    plan pro: 743.00 EUR per month
    customer acme in EUR at Europe/Berlin
    2026-03-31 20:00 acme subscribes to pro anchored 2026-02-28 23:00
    2026-03-31 20:00 close period
    """
    # March in Berlin has 743 hours; it ends at 22:00 UTC, so 2 of them are left
    assert bill.lines == ["pro 2.00 EUR"]


def test_winter_time_makes_october_an_hour_longer(bill: Story) -> None:
    """
    plan pro: 745.00 EUR per month
    customer acme in EUR at Europe/Berlin
    2026-10-31 20:00 acme subscribes to pro anchored 2026-09-30 22:00
    2026-10-31 20:00 close period
    """
    # October in Berlin has 745 hours; it ends at 23:00 UTC
    assert bill.lines == ["pro 3.00 EUR"]


def test_a_day_that_loses_an_hour_is_a_whole_day(bill: Story) -> None:
    """
    plan daily: 24.00 EUR per day in arrears
    customer acme in EUR at Europe/Berlin
    2026-03-28 23:00 acme subscribes to daily
    2026-03-29 22:00 close period
    """
    assert bill.invoices == ["INV-000001 acme 24.00 EUR"]


def test_several_cadences_are_on_one_invoice_when_they_fall_due_together(bill: Story) -> None:
    """
    plan mixed: 100.00 USD per year for licence, 10.00 USD per month for support, 0.01 USD each of calls
    2026-01-01 acme subscribes to mixed
    2026-01-01 close period
    """
    assert bill.lines == ["mixed licence 100.00 USD", "mixed support 10.00 USD"]


def test_weekly_usage_and_a_monthly_fee_are_billed_each_in_their_time(bill: Story) -> None:
    """
    plan mixed: 10.00 USD per month, 0.10 USD each of calls, billed every week
    2026-01-01 acme subscribes to mixed
    2026-01-05 acme uses 30 calls
    2026-01-09 acme uses 50 calls
    2026-01-15 close period
    """
    assert bill.invoices == ["INV-000001 acme 10.00 USD", "INV-000002 acme 3.00 USD", "INV-000003 acme 5.00 USD"]


def test_a_run_after_an_outage_makes_the_invoices_that_would_have_been_made(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 10 calls
    2026-02-10 acme uses 20 calls
    2026-03-15 close period
    """
    assert bill.invoices == [
        "INV-000001 acme 20.00 EUR",
        "INV-000002 acme 21.00 EUR",
        "INV-000003 acme 22.00 EUR",
    ]


def test_a_second_run_bills_nothing(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-02-01 close period
    2026-02-01 close period
    """
    assert bill.invoices == []


def test_late_events_are_waited_for(bill: Story) -> None:
    """
    wait 1 hour for late events
    plan payg: 1.00 USD each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-02-01 00:59 close period
    2026-02-01 00:30 acme uses 2 calls on 2026-01-31
    2026-02-01 01:00 close period
    """
    assert bill.lines == ["7 calls 7.00 USD"]


def test_a_trial_costs_nothing_and_then_the_plan_begins(bill: Story) -> None:
    """
    plan pro: P14D: free ; 30.00 USD per month
    2026-01-01 acme subscribes to pro
    2026-01-14 close period
    2026-01-15 close period
    """
    # 17 of January's 31 days are left: 16.4516
    assert bill.invoices == ["INV-000001 acme 16.45 USD"]


def test_seats_multiply_the_fee(bill: Story) -> None:
    """
    plan team: 5 x 10.00 USD per month
    2026-01-01 acme subscribes to team with 8 seats
    2026-01-01 close period
    """
    assert bill.lines == ["team 80.00 USD"]
