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
