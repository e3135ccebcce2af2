"""Prepaid credit, told as stories; amounts by hand."""

from tests.scenarios.story import Story


def test_credit_pays_the_invoice_as_far_as_it_goes(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    customer acme in EUR
    2026-01-01 grant acme 25.00 EUR of promotional credit named welcome
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-10 acme uses 50 calls
    2026-02-01 close period
    """
    # 20.00 in January leaves 5.00 for the 20.00 + 5.00 of February
    assert bill.invoices == ["INV-000002 acme 20.00 EUR"]
    assert bill.lines == ["pro 20.00 EUR", "50 calls 5.00 EUR", "Prepaid credit: welcome -5.00 EUR"]
    assert bill.credit("acme", "2026-02-01") == "0.00"


def test_an_invoice_that_credit_brings_to_nothing_is_issued_and_paid(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 grant acme 50.00 EUR of paid credit named prepaid
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 0.00 EUR"]
    assert bill.lines == ["pro 20.00 EUR", "Prepaid credit: prepaid -20.00 EUR"]
    assert bill.statuses() == ["paid"]
    assert bill.credit("acme", "2026-01-01") == "30.00"


def test_grants_burn_by_priority_then_expiry_then_age(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 grant acme 6.00 EUR of paid credit named bought
    2026-01-02 grant acme 6.00 EUR of promotional credit named may until 2026-05-01
    2026-01-03 grant acme 6.00 EUR of promotional credit named march until 2026-03-01
    2026-01-04 grant acme 6.00 EUR of external credit named first with priority 1
    2026-01-05 acme subscribes to pro
    2026-01-05 close period
    """
    assert bill.lines[1:] == [
        "Prepaid credit: first -6.00 EUR",
        "Prepaid credit: march -6.00 EUR",
        "Prepaid credit: may -6.00 EUR",
        "Prepaid credit: bought -2.00 EUR",
    ]
    assert bill.total == "0.00"


def test_credit_is_worth_nothing_from_its_expiry_on(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 grant acme 30.00 EUR of promotional credit named january until 2026-02-01
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 20.00 EUR"]
    assert bill.lines == ["pro 20.00 EUR"]


def test_a_voided_invoice_gives_its_credit_back_to_the_next(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 grant acme 15.00 EUR of promotional credit named welcome
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-10 void INV-000001
    """
    assert bill.credit("acme", "2026-01-09") == "0.00"
    assert bill.credit("acme", "2026-01-10") == "15.00"
    bill.go_on("2026-02-01 close period")
    assert bill.lines == ["pro 20.00 EUR", "pro 20.00 EUR", "Prepaid credit: welcome -15.00 EUR"]
    assert bill.total == "25.00"


def test_an_invoice_that_credit_paid_in_full_can_be_voided(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 grant acme 20.00 EUR of promotional credit named welcome
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-10 void INV-000001 and forgive
    """
    assert bill.statuses() == ["void"]
    assert bill.credit("acme", "2026-01-10") == "20.00"


def test_credit_that_comes_back_after_its_expiry_is_lost(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 grant acme 15.00 EUR of promotional credit named january until 2026-01-20
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-25 expire credit
    2026-01-26 void INV-000001
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 40.00 EUR"]


def test_a_parent_s_credit_pays_for_its_family(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    2026-01-01 grant group 50.00 EUR of paid credit named prepaid
    2026-01-01 north subscribes to pro
    2026-01-01 south subscribes to pro
    2026-01-01 close period
    """
    assert bill.lines == ["north: pro 20.00 EUR", "south: pro 20.00 EUR", "Prepaid credit: prepaid -40.00 EUR"]
    assert bill.subtotals == ["north 20.00", "south 20.00", "group -40.00"]
    assert bill.credit("group", "2026-01-01") == "10.00"


def test_credit_of_yen_pays_whole_yen(bill: Story) -> None:
    """
    plan pro: 1500 JPY per month
    customer acme in JPY
    2026-01-01 grant acme 1000 JPY of promotional credit named welcome
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 500 JPY"]


def test_the_preview_shows_the_credit_that_will_be_drawn(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls
    customer acme in EUR
    2026-01-01 grant acme 3.00 EUR of promotional credit named welcome
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 50 calls
    2026-01-11 look at acme
    """
    assert bill.preview == ["calls 5.00", "Prepaid credit: welcome -3.00"]
    assert bill.credit("acme", "2026-01-11") == "3.00"


def test_what_waits_to_be_taken_off_comes_before_credit(bill: Story) -> None:
    """
    plan max: 62.00 EUR per month
    plan pro: 31.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to max
    2026-01-01 close period
    2026-01-02 grant acme 100.00 EUR of paid credit named prepaid
    2026-01-11 acme changes to pro
    2026-01-11 close period
    2026-02-01 close period
    """
    # -42.00 of max and 21.00 + 31.00 of pro make 10.00, and credit pays no more than that
    assert bill.lines[-1] == "Prepaid credit: prepaid -10.00 EUR"
    assert bill.credit("acme", "2026-02-01") == "90.00"


def test_late_usage_is_paid_from_credit_when_it_is_billed(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls
    customer acme in EUR
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 100 calls
    2026-02-01 close period
    2026-02-02 grant acme 4.00 EUR of promotional credit named sorry
    2026-02-03 acme uses 50 calls on 2026-01-20
    2026-02-10 acme uses 10 calls
    2026-03-01 close period
    """
    # 5.00 late and 1.00 of February, less 4.00
    assert bill.total == "2.00"
