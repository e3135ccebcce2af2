"""Coupons, told as stories; amounts by hand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.story import Story
from tollkeeper.errors import Conflict
from tollkeeper.invoices.export import export_invoice


def test_a_percentage_is_taken_off_the_whole_invoice_once(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    customer acme in EUR
    coupon WELCOME: 15 % off
    2026-01-01 acme subscribes to pro
    2026-01-01 acme redeems WELCOME
    2026-01-10 acme uses 33 calls
    2026-01-01 close period
    2026-02-01 close period
    """
    # 20.00 less 3.00 in January; in February the coupon is used up: 20.00 + 3.30
    assert bill.invoices == ["INV-000002 acme 23.30 EUR"]
    bill.go_on("2026-01-01 close period")
    assert [line for line in bill.lines if "Coupon" in line] == []


def test_a_repeating_coupon_counts_on_so_many_invoices(bill: Story) -> None:
    """
    plan pro: 19.99 EUR per month
    customer acme in EUR
    coupon THREE: 10 % off for 2 invoices
    2026-01-01 acme redeems THREE
    2026-01-01 acme subscribes to pro
    2026-03-01 close period
    """
    # 10 % of 19.99 is 1.999, rounded to 2.00
    assert bill.invoices == ["INV-000001 acme 17.99 EUR", "INV-000002 acme 17.99 EUR", "INV-000003 acme 19.99 EUR"]


def test_a_coupon_of_one_feature_leaves_the_fee_alone(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    customer acme in EUR
    coupon CALLS: 50 % off for ever on calls
    2026-01-01 acme redeems CALLS
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-10 acme uses 33 calls
    2026-02-01 close period
    """
    assert bill.lines == ["pro 20.00 EUR", "33 calls 3.30 EUR", "Coupon CALLS: Calls, 50 % -1.65 EUR"]
    assert bill.total == "21.65"


def test_an_amount_takes_off_no_more_than_there_is(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    coupon GIFT: 25.00 EUR off
    2026-01-01 acme redeems GIFT
    2026-01-01 acme subscribes to pro
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 0.00 EUR", "INV-000002 acme 20.00 EUR"]
    assert bill.statuses() == ["paid", "issued"]


def test_a_second_coupon_is_computed_on_what_the_first_left(bill: Story) -> None:
    """
    plan pro: 100.00 EUR per month
    customer acme in EUR
    coupon TEN: 10 % off
    coupon FIVE: 5.00 EUR off
    coupon HALF: 50 % off
    2026-01-01 acme redeems TEN
    2026-01-01 acme redeems FIVE
    2026-01-01 acme redeems HALF
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    assert bill.lines[1:] == [
        "Coupon TEN: Ten, 10 % -10.00 EUR",
        "Coupon FIVE: Five -5.00 EUR",
        "Coupon HALF: Half, 50 % -42.50 EUR",
    ]
    assert bill.total == "42.50"


def test_a_parent_s_coupon_is_shared_by_what_each_member_owes(bill: Story) -> None:
    """
    plan pro: 10.01 EUR per month
    plan big: 20.00 EUR per month
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    coupon FAMILY: 10.00 EUR off
    2026-01-01 group redeems FAMILY
    2026-01-01 north subscribes to pro
    2026-01-01 south subscribes to big
    2026-01-01 close period
    """
    # 10.00 by 10.01 to 20.00: 3.3355... and 6.6644..., to cents 3.34 and 6.66 by the largest remainder
    assert bill.lines[-1] == "Coupon FAMILY: Family -10.00 EUR (north: -3.34, south: -6.66)"
    assert bill.subtotals == ["north 6.67", "south 13.34"]


def test_a_member_s_coupon_is_for_its_own_subscriptions(bill: Story) -> None:
    """
    plan pro: 10.00 EUR per month
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    coupon NORTH: 100 % off
    2026-01-01 north subscribes to pro
    2026-01-01 south subscribes to pro
    2026-01-01 north redeems NORTH for its subscription
    2026-01-01 close period
    """
    assert bill.subtotals == ["north 0.00", "south 10.00"]


def test_a_voided_invoice_gives_the_coupon_back(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    coupon ONCE: 5.00 EUR off
    2026-01-01 acme redeems ONCE
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-10 void INV-000001
    2026-02-01 close period
    2026-03-01 close period
    """
    assert bill.invoices == ["INV-000003 acme 20.00 EUR"]
    assert bill.statuses() == ["void", "issued", "issued"]


def test_a_coupon_is_rounded_to_whole_yen(bill: Story) -> None:
    """
    plan pro: 1000 JPY per month, 333 JPY per month for seats
    customer acme in JPY
    coupon YEN: 12.5 % off
    2026-01-01 acme redeems YEN
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # 12.5 % of 1333 is 166.625, rounded to 167
    assert bill.invoices == ["INV-000001 acme 1166 JPY"]


def test_a_coupon_is_rounded_to_thousandths_of_a_dinar(bill: Story) -> None:
    """
    plan pro: 10.001 KWD per month, 3.333 KWD per month for seats
    customer acme in KWD
    coupon DINAR: 12.5 % off
    2026-01-01 acme redeems DINAR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # 12.5 % of 13.334 is 1.66675, rounded to 1.667
    assert bill.lines[-1] == "Coupon DINAR: Dinar, 12.5 % -1.667 KWD"
    assert bill.invoices == ["INV-000001 acme 11.667 KWD"]


def test_a_coupon_comes_before_prepaid_credit(bill: Story) -> None:
    """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    coupon HALF: 50 % off
    2026-01-01 grant acme 15.00 EUR of paid credit named prepaid
    2026-01-01 acme redeems HALF
    2026-01-01 acme subscribes to pro
    2026-01-01 look at acme
    2026-01-01 close period
    """
    assert bill.lines == ["pro 20.00 EUR", "Coupon HALF: Half, 50 % -10.00 EUR", "Prepaid credit: prepaid -10.00 EUR"]
    assert bill.credit("acme", "2026-01-01") == "5.00"


def test_a_coupon_is_redeemed_by_no_more_than_it_says(bill: Story) -> None:
    """
    customer acme in EUR
    customer beta in EUR
    coupon FIRST: 10 % off at most 1 times
    2026-01-01 acme redeems FIRST
    2026-01-01 acme redeems FIRST
    """
    with pytest.raises(Conflict, match="redeemed 1 times"):
        bill.go_on("2026-01-02 beta redeems FIRST")


def test_a_stranger_can_check_coupons_from_the_export(bill: Story, tmp_path: Path) -> None:
    """
    plan pro: 10.01 EUR per month, 0.10 EUR each of calls
    customer group in EUR
    customer north in EUR paid by group
    coupon CALLS: 33.3 % off for ever on calls
    coupon FAMILY: 7.00 EUR off for ever
    2026-01-01 group redeems CALLS
    2026-01-01 group redeems FAMILY
    2026-01-01 group subscribes to pro
    2026-01-01 close period
    2026-01-10 north uses 31 calls
    2026-01-11 group uses 16 calls
    2026-02-01 close period
    """
    # 33.3 % of 4.70 is 1.5651, rounded to 1.57; then 7.00 off 10.01 + 3.13
    assert bill.total == "6.14"
    folder, checked = _check_export(bill, "INV-000002", tmp_path)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    document = (folder / "document.json").read_text()
    (folder / "document.json").write_text(document.replace('"percentage": "33.3"', '"percentage": "33.4"'))
    assert _check(folder).returncode == 1


def _check_export(bill: Story, number: str, tmp_path: Path) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    with bill.database.snapshot() as session:
        folder = export_invoice(session, number, tmp_path / "export")
    return folder, _check(folder)


def _check(folder: Path) -> "subprocess.CompletedProcess[str]":
    program = Path(__file__).parents[2] / "docs" / "check_invoice.py"
    return subprocess.run([sys.executable, str(program), str(folder)], capture_output=True, text=True, check=False)


def test_a_credit_for_unused_time_gives_back_no_more_than_the_coupon_had_left_to_pay(bill: Story) -> None:
    """
    plan big: 310.00 EUR per month
    plan pro: 31.00 EUR per month
    customer acme in EUR
    coupon FREE: 100 % off
    2026-01-01 acme redeems FREE
    2026-01-01 acme subscribes to big
    2026-01-01 close period
    2026-01-02 acme changes to pro
    2026-01-02 close period
    """
    # 30 of 31 days of 310.00 are credited, for which nothing was paid; 30 of 31 days of 31.00 are due
    part = "Coupon FREE: its part of Big, fee: unused time 2026-01-02 to 2026-02-01"
    assert bill.lines == ["credit fee -300.00 EUR", "pro 30.00 EUR", f"{part} 300.00 EUR"]
    assert bill.total == "30.00"


def test_what_comes_back_of_a_discounted_fee_is_what_was_paid_for_it(bill: Story, tmp_path: Path) -> None:
    """
    plan pro: 31.01 EUR per month, 10.00 EUR per month for support
    plan big: 62.00 EUR per month
    customer group in EUR
    customer north in EUR paid by group
    coupon THIRD: 33.3 % off for 2 invoices
    coupon FIVE: 5.00 EUR off for ever
    2026-01-01 group redeems THIRD
    2026-01-01 north redeems FIVE
    2026-01-01 north subscribes to pro
    2026-01-01 close period
    2026-01-16 north changes to big
    2026-01-16 look at north
    2026-01-16 close period
    """
    # January: 41.01 less 13.66, of which 10.33 on the fee and 3.33 on support, less 5.00 (3.78 and 1.22).
    # 16 of 31 days come back: 16.01 and 5.16; of the coupons 5.33 and 1.95, 1.72 and 0.63.
    # Anew are 16 of 31 days of 62.00, 32.00; a third of it is 10.66, and then 5.00 come off
    returned = [re.search(r" (\S+) EUR", line)[1] for line in bill.lines if "its part of" in line]
    assert sorted(returned) == ["0.63", "1.72", "1.95", "5.33"]
    assert bill.lines[-2:] == [
        "Coupon THIRD: Third, 33.3 % -10.66 EUR (north: -10.66)",
        "Coupon FIVE: Five -5.00 EUR (north: -5.00)",
    ]
    # -16.01 - 5.16 + 9.63 + 32.00 - 10.66 - 5.00
    assert (bill.total, bill.subtotals) == ("4.80", ["north 4.80"])
    folder, checked = _check_export(bill, "INV-000002", tmp_path)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    document = (folder / "document.json").read_text()
    (folder / "document.json").write_text(document.replace('"taken_minor": 1033', '"taken_minor": 933'))
    assert "goes back with the credit" in _check(folder).stdout


def test_a_coupon_is_taken_back_once_however_often_a_charge_shrinks(bill: Story) -> None:
    """
    plan pro: 31.00 EUR per month
    customer acme in EUR
    coupon HALF: 50 % off
    2026-01-01 acme redeems HALF
    2026-01-01 acme subscribes to pro with 10 seats
    2026-01-01 close period
    2026-01-11 acme has 4 seats
    2026-01-11 close period
    2026-01-21 acme has 1 seats
    2026-01-21 close period
    2026-02-01 close period
    """
    # 155.00 was paid. 21 of 31 days of ten seats are -210.00 and 105.00 of the coupon; four seats are 84.00, of
    # which 44.00 come back with nothing of a coupon; one seat is 11.00 and 31.00. All waits, 23.00 below zero
    assert bill.statuses() == ["issued"]
    bill.go_on("2026-03-01 close period")
    assert bill.total == "8.00"


def test_yen_come_back_in_whole(bill: Story) -> None:
    """
    plan pro: 1001 JPY per month
    plan big: 3100 JPY per month
    customer acme in JPY
    coupon HALF: 50 % off
    2026-01-01 acme redeems HALF
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-11 acme changes to big
    2026-01-11 close period
    """
    # 1001 less 501; 21 of 31 days are 678 back and 339 of the coupon; 2100 are due
    assert bill.total == "1761"
