"""Credit notes, told as stories; amounts by hand."""

import pytest

from tests.scenarios.document_acts import notes_of
from tests.scenarios.story import Story
from tollkeeper.errors import Conflict, InvalidInput


def test_a_credit_note_takes_off_what_is_due_and_the_rest_is_paid(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 take back of INV-000001 7.50
    """
    assert notes_of(bill) == ["CN-000001 issued 7.50: reduction 7.50"]
    assert bill.statuses() == ["issued"]
    with pytest.raises(InvalidInput, match=r"at most the 12\.50 that is due"):
        bill.go_on("2026-01-06 pay 12.51 of INV-000001")
    bill.go_on("2026-01-06 pay 12.50 of INV-000001")
    assert bill.statuses() == ["paid"]


def test_an_invoice_taken_back_whole_is_paid_without_money(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 take back of INV-000001 20.00
    """
    assert bill.statuses() == ["paid"]
    with pytest.raises(InvalidInput, match=r"at most 0\.00"):
        bill.go_on("2026-01-06 take back of INV-000001 0.01 to credit")
    with pytest.raises(Conflict, match="has credit notes"):
        bill.go_on("2026-01-06 void INV-000001")


def test_what_was_paid_goes_into_prepaid_credit_and_pays_the_next_invoice(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-03 pay INV-000001
    2026-01-05 take back of INV-000001 6.00 to credit
    """
    assert notes_of(bill) == ["CN-000001 issued 6.00: credit 6.00"]
    assert bill.credit("acme", "2026-01-06") == "6.00"
    bill.go_on("2026-02-01 close period")
    assert bill.lines == ["pro 20.00 EUR", "Prepaid credit: Credit note for INV-000001 -6.00 EUR"]
    assert bill.total == "14.00"


def test_a_partly_paid_invoice_is_reduced_first(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-03 pay 15.00 of INV-000001
    2026-01-05 take back of INV-000001 8.00 to out of band
    """
    # 5.00 was still due
    assert notes_of(bill) == ["CN-000001 issued 8.00: reduction 5.00, out_of_band 3.00"]
    assert bill.statuses() == ["paid"]
    with pytest.raises(InvalidInput, match=r"at most 12\.00"):
        bill.go_on("2026-01-06 take back of INV-000001 12.01 to out of band")
    bill.go_on("2026-01-06 take back of INV-000001 12.00 to out of band")


def test_money_that_came_past_stripe_is_not_refunded_by_stripe(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-03 pay INV-000001
    """
    with pytest.raises(InvalidInput, match=r"Stripe got 0\.00"):
        bill.go_on("2026-01-05 take back of INV-000001 1.00 to refund")
    with pytest.raises(InvalidInput, match=r"20\.00 was paid already"):
        bill.go_on("2026-01-05 take back of INV-000001 20.00")


def test_a_line_is_taken_back_at_most_once(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 50 calls
    2026-02-01 close period
    2026-02-02 take back of INV-000002 3.00 of line 2
    2026-02-03 take back of INV-000002 2.00 of line 2
    """
    assert bill.lines == ["pro 20.00 EUR", "50 calls 5.00 EUR"]
    with pytest.raises(InvalidInput, match=r"at most 0\.00 of this line"):
        bill.go_on("2026-02-04 take back of INV-000002 0.01 of line 2")
    with pytest.raises(InvalidInput, match="is no line with a charge"):
        bill.go_on("2026-02-04 take back of INV-000002 0.01 of line 3")
    bill.go_on("2026-02-04 take back of INV-000002 20.00 of line 1")
    assert bill.statuses() == ["issued", "paid"]


def test_what_prepaid_credit_paid_goes_back_to_credit(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 grant acme 15.00 EUR of promotional credit named welcome
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # 5.00 is due; of 12.00 that are taken back 7.00 were paid by credit
    with pytest.raises(InvalidInput, match=r"only 0\.00 of money was paid"):
        bill.go_on("2026-01-02 take back of INV-000001 12.00 to out of band")
    bill.go_on("2026-01-02 take back of INV-000001 12.00 to credit")
    assert notes_of(bill) == ["CN-000001 issued 12.00: reduction 5.00, credit 7.00"]
    assert bill.credit("acme", "2026-01-03") == "7.00"
    assert bill.statuses() == ["paid"]


def test_a_credit_note_is_voided_while_the_invoice_is_open_and_keeps_its_number(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 take back of INV-000001 7.50
    2026-01-06 void CN-000001
    2026-01-06 void CN-000001
    2026-01-07 take back of INV-000001 20.00
    """
    assert notes_of(bill) == ["CN-000001 void 7.50: reduction 7.50", "CN-000002 issued 20.00: reduction 20.00"]
    with pytest.raises(Conflict, match="INV-000001 is paid"):
        bill.go_on("2026-01-08 void CN-000002")


def test_credit_that_was_given_is_not_taken_back(bill: Story) -> None:
    """
    plan pro: 1500 JPY per month
    customer acme in JPY
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-03 pay INV-000001
    2026-01-05 take back of INV-000001 700 to credit
    """
    assert notes_of(bill) == ["CN-000001 issued 700: credit 700"]
    with pytest.raises(Conflict, match="gave money or credit back"):
        bill.go_on("2026-01-06 void CN-000001")


def test_a_void_or_uncollectible_invoice_takes_no_credit_note(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 give up on INV-000001
    """
    with pytest.raises(Conflict, match="takes no credit note"):
        bill.go_on("2026-01-06 take back of INV-000001 1.00")
    bill.go_on("2026-01-07 void INV-000001 and forgive")
    with pytest.raises(Conflict, match="takes no credit note"):
        bill.go_on("2026-01-08 take back of INV-000001 1.00")


def test_what_a_coupon_took_off_a_line_is_not_taken_back_again(bill: Story) -> None:
    """
    plan pro: 30.00 EUR per month, 20.00 EUR per month for support, 0.10 EUR each of calls
    customer acme in EUR
    coupon CALLS: 75 % off for ever on calls
    2026-01-01 acme redeems CALLS
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-03 acme uses 100 calls
    2026-02-01 close period
    """
    # 10.00 of calls less 7.50; the fees would have room for 10.00, but the line has none
    with pytest.raises(InvalidInput, match=r"at most 2\.50 of this line, after its coupons"):
        bill.go_on("2026-02-02 take back of INV-000002 2.51 of line 3")
    bill.go_on("2026-02-02 take back of INV-000002 2.50 of line 3")
    assert notes_of(bill) == ["CN-000001 issued 2.50: reduction 2.50"]
    with pytest.raises(InvalidInput, match=r"at most 0\.00"):
        bill.go_on("2026-02-02 take back of INV-000002 0.01 of line 3")
