"""Migrations to a new plan version told as stories; amounts by hand."""

from tests.scenarios.story import Story


def test_a_migration_now_splits_the_month_between_the_versions(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    plan pro: 62.00 EUR per month
    2026-01-11 acme migrates
    2026-01-11 close period
    """
    # 21 of 31 days: 21.00 of version 1 come back, 42.00 of version 2 are due
    assert sorted(bill.lines) == ["credit fee -21.00 EUR", "pro 42.00 EUR"]


def test_a_migration_at_the_period_s_end_leaves_the_running_period_alone(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month, 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    plan pro: 62.00 EUR per month, 0.20 EUR each of calls
    2026-01-11 acme migrates at period end
    2026-01-20 acme uses 10 calls
    2026-02-01 close period
    """
    # January's calls at 0.10, February's fee of version 2
    assert bill.total == "63.00"


def test_nobody_gets_a_second_trial_by_a_migration(bill: Story) -> None:
    """
    plan pro: P14D: free ; 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-20 close period
    plan pro: P30D: free ; 62.00 EUR per month
    2026-01-20 acme migrates at period end
    2026-02-01 close period
    """
    # The fee began on 15 January; from February the second phase of version 2 goes on.
    assert bill.invoices == ["INV-000002 acme 62.00 EUR"]


def test_a_trial_that_a_migration_finds_is_counted_from_its_beginning(bill: Story) -> None:
    """
    plan pro: P14D: free ; 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    plan pro: P21D: free ; 62.00 EUR per month
    2026-01-11 acme migrates
    2026-01-21 close period
    2026-01-22 close period
    """
    # free until 22 January, then 10 of 31 days of 62.00
    assert bill.invoices == ["INV-000001 acme 20.00 EUR"]


def test_a_trial_that_is_shorter_in_the_new_version_and_over_already_ends_at_once(bill: Story) -> None:
    """
    plan pro: P21D: free ; 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    plan pro: P7D: free ; 62.00 EUR per month
    2026-01-11 acme migrates
    2026-01-11 close period
    """
    # 21 of 31 days of 62.00
    assert bill.invoices == ["INV-000001 acme 42.00 EUR"]


def test_a_second_migration_changes_nothing(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    plan pro: 62.00 EUR per month
    2026-01-11 acme migrates at period end
    2026-01-12 acme migrates at period end
    2026-02-01 acme migrates
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 62.00 EUR"]


def test_a_migration_is_taken_back_like_a_change_of_plan(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    plan pro: 62.00 EUR per month
    2026-01-11 acme migrates at period end
    2026-01-12 acme takes back the change plan
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 31.00 EUR", "INV-000002 acme 31.00 EUR"]
