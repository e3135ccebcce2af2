"""Parents who pay for subsidiaries, told as stories; amounts by hand."""

from tests.scenarios.story import Story


def test_a_parent_gets_one_invoice_with_the_usage_of_three_subsidiaries(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    customer west in EUR paid by group
    2026-01-01 north subscribes to pro
    2026-01-01 south subscribes to pro
    2026-01-01 west subscribes to pro
    2026-01-10 north uses 10 calls
    2026-01-10 south uses 20 calls
    2026-01-10 west uses 30 calls
    2026-01-01 close period
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000002 group 66.00 EUR"]
    assert bill.lines == [
        "north: pro 20.00 EUR",
        "north: 10 calls 1.00 EUR",
        "south: pro 20.00 EUR",
        "south: 20 calls 2.00 EUR",
        "west: pro 20.00 EUR",
        "west: 30 calls 3.00 EUR",
    ]


def test_a_parent_s_own_lines_come_first(bill: Story) -> None:
    """
    plan pro: 0.10 EUR each of calls
    customer zeta in EUR
    customer alpha in EUR paid by zeta
    2026-01-01 alpha subscribes to pro
    2026-01-01 zeta subscribes to pro
    2026-01-10 alpha uses 10 calls
    2026-01-10 zeta uses 20 calls
    2026-02-01 close period
    """
    assert bill.lines == ["20 calls 2.00 EUR", "alpha: 10 calls 1.00 EUR"]


def test_a_grandparent_pays(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer holding in EUR
    customer group in EUR paid by holding
    customer north in EUR paid by group
    2026-01-01 north subscribes to pro
    2026-01-01 close period
    """
    assert bill.invoices == ["INV-000001 holding 20.00 EUR"]


def test_one_subsidiary_s_credit_lowers_the_family_s_invoice(bill: Story) -> None:
    """
    plan max: 62.00 EUR per month
    plan pro: 31.00 EUR per month
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    2026-01-01 north subscribes to max
    2026-01-01 south subscribes to pro
    2026-01-01 close period
    2026-01-11 north changes to pro
    2026-01-11 close period
    2026-02-01 close period
    """
    # north: -42.00 + 21.00 + 31.00, south: 31.00
    assert bill.invoices == ["INV-000002 group 41.00 EUR"]


def test_subsidiaries_with_other_days_of_the_month_have_other_invoices(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    2026-01-01 north subscribes to pro
    2026-01-15 south subscribes to pro
    2026-01-20 close period
    """
    assert bill.invoices == ["INV-000001 group 20.00 EUR", "INV-000002 group 20.00 EUR"]


def test_charges_within_the_grace_period_go_on_one_invoice(bill: Story) -> None:
    """
    wait 1 hour for late events
    plan pro: 20.00 EUR per month
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    2026-01-01 09:10 north subscribes to pro
    2026-01-01 09:50 south subscribes to pro
    2026-01-01 10:10 close period
    """
    assert bill.invoices == ["INV-000001 group 40.00 EUR"]


def test_independent_customers_get_an_invoice_each(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    2026-01-01 acme subscribes to pro
    2026-01-01 globex subscribes to pro
    2026-01-01 initech subscribes to pro
    2026-01-01 close period
    """
    assert [line.split(" ", 1)[0] for line in bill.invoices] == ["INV-000001", "INV-000002", "INV-000003"]


def test_the_usage_of_a_subsidiary_without_a_plan_is_on_its_parent_s(bill: Story) -> None:
    """
    plan payg: 1.00 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    2026-01-01 group subscribes to payg
    2026-01-10 group uses 2 calls
    2026-01-10 north uses 5 calls
    2026-02-01 close period
    """
    assert bill.lines == ["7 calls 7.00 EUR (group 2: 2.00, north 5: 5.00)"]


def test_the_usage_of_three_subsidiaries_fills_the_same_tiers(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, calls graduated to 100 at 0.10 | above at 0.01
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    customer west in EUR paid by group
    2026-01-01 group subscribes to pro
    2026-01-01 close period
    2026-01-10 north uses 60 calls
    2026-01-11 south uses 60 calls
    2026-01-12 west uses 30 calls
    2026-02-01 close period
    """
    # 150 calls in all: 100 at 0.10, 50 at 0.01; each line 2 : 2 : 1
    assert bill.lines == [
        "pro 20.00 EUR",
        "100 calls 10.00 EUR (north 60: 4.00, south 60: 4.00, west 30: 2.00)",
        "50 calls 0.50 EUR (north 60: 0.20, south 60: 0.20, west 30: 0.10)",
    ]
    assert bill.subtotals == ["group 20.00", "north 4.20", "south 4.20", "west 2.10"]
    assert bill.total == "30.50"


def test_a_package_is_begun_once_and_its_cent_goes_to_the_largest_remainder(bill: Story) -> None:
    """
    plan payg: 1.00 EUR per 10 calls
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    2026-01-01 group subscribes to payg
    2026-01-10 group uses 1 calls
    2026-01-10 north uses 1 calls
    2026-01-10 south uses 1 calls
    2026-02-01 close period
    """
    # three thirds of 1.00: the odd cent is the first customer's
    assert bill.lines == ["1 calls 1.00 EUR (group 1: 0.34, north 1: 0.33, south 1: 0.33)"]
    assert bill.subtotals == ["group 0.34", "north 0.33", "south 0.33"]


def test_a_minimum_is_one_for_the_family(bill: Story) -> None:
    """
    plan committed: 1.00 EUR each of calls, at least 50.00 EUR
    customer group in EUR
    customer north in EUR paid by group
    2026-01-01 group subscribes to committed
    2026-01-10 group uses 10 calls
    2026-01-10 north uses 30 calls
    2026-02-01 close period
    """
    assert bill.total == "50.00"
    assert bill.subtotals == ["group 12.50", "north 37.50"]


def test_a_subsidiary_with_a_plan_of_its_own_is_billed_by_that_plan_alone(bill: Story) -> None:
    """
    plan pro: 1.00 EUR each of calls
    plan mini: 0.10 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    customer pole in EUR paid by north
    customer south in EUR paid by group
    2026-01-01 group subscribes to pro
    2026-01-01 north subscribes to mini
    2026-01-10 group uses 1 calls
    2026-01-10 north uses 20 calls
    2026-01-10 pole uses 30 calls
    2026-01-10 south uses 4 calls
    2026-02-01 close period
    """
    # below north, pole has no plan of its own and is under north's
    assert bill.lines == [
        "5 calls 5.00 EUR (group 1: 1.00, south 4: 4.00)",
        "north: 50 calls 5.00 EUR (north 20: 2.00, pole 30: 3.00)",
    ]
    assert bill.subtotals == ["group 1.00", "south 4.00", "north 2.00", "pole 3.00"]


def test_a_subsidiary_that_gets_a_plan_in_mid_period_leaves_its_parent_s_from_then_on(bill: Story) -> None:
    """
    plan pro: 1.00 EUR each of calls
    plan mini: 0.10 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    2026-01-01 group subscribes to pro
    2026-01-10 north uses 5 calls
    2026-01-16 north subscribes to mini anchored 2026-01-01
    2026-01-20 north uses 70 calls
    2026-02-01 close period
    """
    assert bill.lines == ["5 calls 5.00 EUR (north 5: 5.00)", "north: 70 calls 7.00 EUR"]
    assert bill.subtotals == ["north 12.00"]


def test_a_late_event_of_a_subsidiary_is_an_adjustment_of_its_parent_s(bill: Story) -> None:
    """
    plan payg: 1.00 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    2026-01-01 group subscribes to payg
    2026-01-10 group uses 2 calls
    2026-02-01 close period
    2026-02-10 north uses 3 calls on 2026-01-20
    2026-02-11 group uses 1 calls
    2026-03-01 close period
    """
    assert bill.lines == ["late 3 calls 3.00 EUR (north 3: 3.00)", "1 calls 1.00 EUR"]
    assert bill.subtotals == ["north 3.00", "group 1.00"]


def test_a_backdated_plan_of_a_subsidiary_takes_its_usage_off_its_parent_s_bill(bill: Story) -> None:
    """
    plan pro: 1.00 EUR each of calls
    plan mini: 0.10 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    2026-01-01 group subscribes to pro
    2026-01-10 group uses 2 calls
    2026-01-10 north uses 10 calls
    2026-02-01 close period
    2026-02-05 group uses 20 calls
    2026-02-06 north subscribes to mini from 2026-01-01
    2026-03-01 close period
    """
    # January was 12.00 for both; north's ten calls are 1.00 by its own plan
    assert bill.lines == [
        "late -10 calls -10.00 EUR (north -10: -10.00)",
        "20 calls 20.00 EUR",
        "north: 10 calls 1.00 EUR",
    ]
    assert bill.total == "11.00"
    assert bill.subtotals == ["north -9.00", "group 20.00"]


def test_usage_that_changes_hands_at_the_same_sum_moves_between_the_subtotals(bill: Story) -> None:
    """
    plan payg: 1.00 EUR each of calls
    plan mini: 0.10 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    2026-01-01 group subscribes to payg
    2026-01-10 north uses 5 calls
    2026-02-01 close period
    2026-02-05 group uses 5 calls on 2026-01-20
    2026-02-06 north subscribes to mini from 2026-01-01
    2026-02-07 close period
    """
    assert bill.lines == ["late 0 calls 0.00 EUR (group 5: 5.00, north -5: -5.00)", "north: 5 calls 0.50 EUR"]
    assert bill.subtotals == ["group 5.00", "north -4.50"]


def test_a_subsidiary_that_moves_takes_its_usage_to_the_other_parent(bill: Story) -> None:
    """
    plan payg: 1.00 EUR each of calls
    customer alpha in EUR
    customer zeta in EUR
    customer north in EUR paid by alpha
    2026-01-01 alpha subscribes to payg
    2026-01-01 zeta subscribes to payg
    2026-01-10 north uses 3 calls
    2026-01-10 alpha uses 1 calls
    2026-01-10 zeta uses 1 calls
    2026-02-01 close period
    2026-02-10 alpha uses 4 calls
    2026-02-10 zeta uses 2 calls
    north is paid by zeta
    2026-03-01 close period
    """
    assert bill.invoices == ["INV-000003 alpha 1.00 EUR", "INV-000004 zeta 5.00 EUR"]
    assert bill.lines == ["late 3 calls 3.00 EUR (north 3: 3.00)", "2 calls 2.00 EUR"]


def test_the_preview_shows_what_the_subsidiaries_used(bill: Story) -> None:
    """
    plan payg: 1.00 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    2026-01-01 group subscribes to payg
    2026-01-10 group uses 2 calls
    2026-01-10 north uses 5 calls
    2026-01-20 look at north
    """
    assert bill.preview == ["calls 7.00"]
