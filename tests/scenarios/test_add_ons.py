"""Add-ons, prices of one customer's own, and plans in several currencies told as stories; amounts by hand."""

from tests.scenarios.story import Story


def test_an_add_on_is_due_beside_the_plan_for_the_rest_of_the_period(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    add-on care: 62.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-11 acme attaches care
    2026-01-11 close period
    2026-02-01 close period
    """
    # 21 of 31 days: 42.00; then the whole of February
    assert bill.statuses() == ["issued"] * 3
    assert sorted(bill.lines) == ["care 62.00 EUR", "pro 31.00 EUR"]
    assert bill.invoices == ["INV-000003 acme 93.00 EUR"]


def test_an_add_on_of_which_there_are_several_costs_that_often(bill: Story) -> None:
    """
    plan pro: 10.00 EUR per month
    add-on seat of several: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme attaches 3 seat
    2026-01-01 close period
    """
    assert sorted(bill.lines) == ["pro 10.00 EUR", "seat 93.00 EUR"]


def test_fewer_of_an_add_on_give_the_rest_back_after_the_invoice_was_paid(bill: Story) -> None:
    """
    plan pro: 100.00 EUR per month
    add-on seat of several: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme attaches 3 seat
    2026-01-01 close period
    2026-01-02 pay INV-000001
    2026-01-11 acme now has 1 of seat
    2026-02-01 close period
    """
    # 3 x 21.00 come back, 1 x 21.00 is due; February: 100.00 + 31.00
    assert bill.total == "89.00"


def test_an_add_on_until_a_date_ends_by_itself(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    add-on care: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme attaches care until 2026-01-11
    2026-01-01 close period
    2026-02-01 close period
    """
    assert bill.lines == ["pro 31.00 EUR"]


def test_a_detached_add_on_charges_no_more_and_its_usage_is_billed(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    add-on exports: 0.50 EUR each of exports
    2026-01-01 acme subscribes to pro
    2026-01-01 acme attaches exports
    2026-01-01 close period
    2026-01-05 acme uses 4 exports
    2026-01-11 acme now has 0 of exports
    2026-01-20 acme uses 100 exports
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 2.00 EUR", "INV-000003 acme 31.00 EUR"]


def test_an_add_on_stays_when_the_plan_changes_and_stays_on_its_version(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    plan max: 62.00 EUR per month
    add-on care: 10.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme attaches care
    2026-01-01 close period
    add-on care: 99.00 EUR per month
    2026-01-11 acme changes to max at period end
    2026-02-01 close period
    """
    assert sorted(bill.lines) == ["care 10.00 EUR", "max 62.00 EUR"]


def test_a_pause_holds_for_add_ons_too(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    add-on care: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme attaches care
    2026-01-01 close period
    2026-01-11 acme pauses until 2026-01-21
    2026-02-01 close period
    """
    # twice: 21.00 come back, 11.00 and 31.00 are due
    assert bill.total == "42.00"


def test_an_end_without_credit_keeps_the_add_on_s_fee_too(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    add-on care: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme attaches care
    2026-01-01 close period
    2026-01-11 acme cancels without credit
    2026-02-01 close period
    """
    assert bill.invoices == []


def test_a_planned_add_on_is_taken_back(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    add-on care: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-05 acme attaches care at period end
    2026-01-06 acme takes back the add on
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 31.00 EUR", "INV-000002 acme 31.00 EUR"]


def test_a_price_of_one_customer_s_own_holds_for_it_alone_from_its_day(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 globex subscribes to pro
    2026-01-01 close period
    2026-01-02 pay INV-000001
    2026-01-11 acme agrees on 15.50 EUR per month
    2026-01-11 globex agrees on 62.00 EUR per month at period end
    2026-02-01 close period
    """
    # acme: 21.00 come back, 10.50 are due, and February's 15.50; globex: 62.00
    assert sorted(line.split(" ", 1)[1] for line in bill.invoices) == ["acme 5.00 EUR", "globex 62.00 EUR"]


def test_usage_is_priced_by_the_list_until_the_agreement_and_by_it_afterwards(bill: Story) -> None:
    """
    plan pro: 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-05 acme uses 100 calls
    2026-01-11 acme agrees on 0.05 EUR each of calls
    2026-01-20 acme uses 100 calls
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 10.00 EUR", "INV-000002 acme 5.00 EUR"]


def test_late_usage_is_priced_as_it_was_agreed_at_its_time(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month, 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-11 acme agrees on 0.05 EUR each of calls
    2026-02-01 close period
    2026-02-02 acme uses 100 calls on 2026-01-05
    2026-02-02 acme uses 100 calls on 2026-01-15
    2026-03-01 close period
    """
    assert bill.lines == ["pro 31.00 EUR", "late 100 calls 10.00 EUR", "late 100 calls 5.00 EUR"]


def test_a_discount_of_one_customer_s_own(bill: Story) -> None:
    """
    plan pro: 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-01 acme agrees on 0.10 EUR each of calls, 25 % off
    2026-01-20 acme uses 100 calls
    2026-02-01 close period
    """
    assert bill.lines == ["100 calls 10.00 EUR", "calls discount -2.50 EUR"]


def test_a_fee_that_is_dropped_comes_back_and_the_list_price_can_hold_again(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month, 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-11 acme agrees on no fee
    2026-01-21 acme agrees on the list price of fee
    2026-02-01 close period
    """
    # 21.00 come back, 11.00 are due, February's 31.00
    assert bill.invoices == ["INV-000002 acme 21.00 EUR"]


def test_a_further_fee_of_one_customer_s_own(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme agrees on further 5.00 EUR per month for hosting
    2026-01-01 close period
    """
    assert sorted(bill.lines) == ["pro 31.00 EUR", "pro hosting 5.00 EUR"]


def test_an_agreed_price_outlives_a_migration_but_not_a_change_of_plan(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    plan max: 62.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme agrees on 20.00 EUR per month
    plan pro: 40.00 EUR per month
    2026-01-05 acme migrates at period end
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 20.00 EUR", "INV-000002 acme 20.00 EUR"]
    bill.go_on("2026-02-05 acme changes to max at period end\n2026-03-01 close period")
    assert bill.total == "62.00"


def test_a_customer_pays_the_plan_s_price_in_its_own_currency(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month, 0.10 EUR each of calls
    plan pro also: 3100 JPY per month, 10 JPY each of calls
    customer nippon in JPY
    customer acme in EUR
    2026-01-01 nippon subscribes to pro
    2026-01-01 acme subscribes to pro
    2026-01-05 nippon uses 7 calls
    2026-01-11 nippon cancels
    2026-01-11 close period
    """
    # JPY has no decimals: 10 of 31 days are 1000, 7 calls 70
    by_customer = sorted(line.split(" ", 1)[1] for line in bill.invoices)
    assert by_customer == ["acme 31.00 EUR", "nippon 1000 JPY", "nippon 70 JPY"]


def test_an_add_on_that_is_detached_does_not_come_back_by_a_number_that_was_planned(bill: Story) -> None:
    """
    plan pro: 62.00 EUR per month
    add-on seat of several: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme attaches 2 seat until 2026-03-01
    2026-01-01 close period
    2026-01-05 acme now has 5 of seat at period end
    2026-01-11 acme now has 0 of seat
    2026-02-01 close period
    """
    # 21 of 31 days of 62.00 come back: 42.00
    assert bill.lines == ["credit fee -42.00 EUR", "pro 62.00 EUR"]


def test_another_number_of_an_add_on_replaces_a_planned_one_until_the_agreed_end(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    add-on seat of several: 31.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 acme attaches 2 seat until 2026-03-01
    2026-01-01 close period
    2026-01-05 acme now has 5 of seat at period end
    2026-01-31 acme now has 3 of seat
    2026-02-01 close period
    """
    # one more on the last day of January; then the plan and three
    assert [line.split()[2] for line in bill.invoices] == ["1.00", "124.00"]
    bill.go_on("2026-03-01 close period")
    assert bill.lines == ["pro 31.00 EUR"]
