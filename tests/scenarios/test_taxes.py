"""Taxes, told as stories; amounts by hand."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.scenarios.document_acts import instant, notes_of
from tests.scenarios.story import Story
from tests.unguarded import take_guards_away
from tollkeeper.errors import Conflict
from tollkeeper.invoices.billing_run import bill_after_the_end, bill_due_periods
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.export import export_invoice
from tollkeeper.invoices.verify import verify_invoice

PROGRAM = Path(__file__).parents[2] / "docs" / "check_invoice.py"


def test_tax_is_added_once_on_the_sum_of_the_lines(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    plan pro: 20.01 EUR per month, 0.10 EUR each of calls, 0.03 EUR each of tokens
    customer acme in EUR
    acme is in DE
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 33 calls
    2026-01-10 acme uses 1 tokens
    2026-02-01 close period
    2026-02-01 look at acme
    """
    # 19 % of 20.01 + 3.30 + 0.03 = 23.34 is 4.4346; line by line it would be 3.80 + 0.63 + 0.01
    assert bill.lines[-1] == "VAT 19 % on 23.34 4.43 EUR"
    assert bill.invoices == ["INV-000001 acme 23.81 EUR", "INV-000002 acme 27.77 EUR"]


def test_tax_inside_of_prices_is_said_and_adds_nothing(bill: Story) -> None:
    """
    tax is charged in FR inside of prices
    tax TVA of 20 % in FR
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in FR
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 take back of INV-000001 6.00
    """
    # 20.00 * 20 / 120 is 3.333...
    assert bill.invoices == ["INV-000001 acme 20.00 EUR"]
    with bill.database.snapshot() as session:
        said = session.execute(text("SELECT description, amount_minor FROM invoice_lines WHERE kind = 'tax'")).one()
        assert tuple(said) == ("Including TVA 20 % on 16.67: 3.33", 0)
        note = session.execute(text("SELECT net_minor, tax_minor FROM credit_notes")).one()
    # of 6.00 the tax is 6.00 * 3.33 / 20.00 = 0.999
    assert tuple(note) == (500, 100)


def test_each_rate_has_a_line_of_its_own(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    tax Reduced of 7 % in DE for books
    plan pro: 20.00 EUR per month, 10.50 EUR per month for shelf, taxed as books
    customer acme in EUR
    acme is in DE
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # 7 % of 10.50 is 0.735
    assert bill.lines == [
        "pro 20.00 EUR",
        "pro shelf 10.50 EUR",
        "VAT 19 % on 20.00 3.80 EUR",
        "Reduced 7 % on 10.50 0.74 EUR",
    ]
    assert bill.total == "35.04"


def test_a_business_in_another_country_of_the_eu_owes_the_tax_itself(bill: Story) -> None:
    """
    tax is charged in DE
    tax TVA of 20 % in FR
    plan pro: 20.00 EUR per month
    customer acme in EUR
    customer beta in EUR
    acme is in FR with VAT id FR123
    beta is in FR with VAT id DE123
    2026-01-01 acme subscribes to pro
    2026-01-01 beta subscribes to pro
    2026-01-01 close period
    """
    # an id of the seller's own country makes nobody a business abroad
    assert bill.invoices == ["INV-000001 acme 20.00 EUR", "INV-000002 beta 24.00 EUR"]
    with bill.database.snapshot() as session:
        said = session.execute(
            text("SELECT description, amount_minor FROM invoice_lines WHERE kind = 'tax' ORDER BY amount_minor")
        ).first()
    assert said is not None
    assert tuple(said) == ("Reverse charge: the customer owes the tax", 0)


def test_who_is_exempt_or_reversed_by_hand_needs_no_country(bill: Story) -> None:
    """
    tax is charged in CH
    plan pro: 20.00 EUR per month
    customer acme in EUR
    customer beta in EUR
    acme is in US, exempt
    beta is in US, reverse
    2026-01-01 acme subscribes to pro
    2026-01-01 beta subscribes to pro
    2026-01-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 20.00 EUR", "INV-000002 beta 20.00 EUR"]
    with bill.database.snapshot() as session:
        said = session.scalars(text("SELECT description FROM invoice_lines WHERE kind = 'tax' ORDER BY description"))
        assert list(said) == ["Exempt from tax", "Reverse charge: the customer owes the tax"]


def test_a_rate_of_as_many_decimals_as_are_taken_is_proved(bill: Story) -> None:
    """
    tax is charged in DE
    tax Third of 33.333333333333333333333333333333 % in DE
    plan pro: 30.00 EUR per month
    customer acme in EUR
    acme is in DE
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    assert bill.total == "40.00"


def test_yen_are_taxed_in_whole_yen(bill: Story) -> None:
    """
    tax is charged in JP
    tax JCT of 10 % in JP
    plan pro: 1335 JPY per month
    customer acme in JPY
    acme is in JP
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # 133.5 is rounded away from zero
    assert bill.lines == ["pro 1335 JPY", "JCT 10 % on 1335 134 JPY"]
    assert bill.total == "1469"


def test_dinars_are_taxed_in_thousandths(bill: Story) -> None:
    """
    tax is charged in KW
    tax VAT of 5 % in KW
    plan pro: 10.010 KWD per month
    customer acme in KWD
    acme is in KW
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # 0.5005 is rounded away from zero
    assert bill.lines == ["pro 10.010 KWD", "VAT 5 % on 10.010 0.501 KWD"]


def test_a_region_s_and_a_code_s_own_rate_come_before_the_country_s(bill: Story) -> None:
    """
    tax is charged in CA
    tax GST of 5 % in CA
    tax HST of 13 % in CA/ON
    tax Zero of 0 % in CA for books
    plan pro: 100.00 CAD per month, 10.00 CAD per month for shelf, taxed as books
    customer acme in CAD
    customer beta in CAD
    acme is in CA/ON
    beta is in CA/AB
    2026-01-01 acme subscribes to pro
    2026-01-01 beta subscribes to pro
    2026-01-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 123.00 CAD", "INV-000002 beta 115.00 CAD"]


def test_the_rate_is_that_of_the_end_of_what_was_sold(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 16 % in DE until 2021-01-01
    tax VAT of 19 % in DE since 2021-01-01
    plan pro: 10.00 EUR per month, 1.00 EUR each of calls
    customer acme in EUR
    acme is in DE
    2020-12-01 acme subscribes to pro
    2020-12-10 acme uses 5 calls
    2021-01-01 close period
    """
    # the calls of December at 16 %, the fee of January, billed in advance, at 19 %
    assert bill.lines[-2:] == ["VAT 19 % on 10.00 1.90 EUR", "VAT 16 % on 5.00 0.80 EUR"]


def test_tax_comes_after_coupons_and_before_prepaid_credit(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in DE
    coupon HALF: 50 % off
    2026-01-01 grant acme 15.00 EUR of paid credit named prepaid
    2026-01-01 acme redeems HALF
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    assert bill.lines == [
        "pro 20.00 EUR",
        "Coupon HALF: Half, 50 % -10.00 EUR",
        "VAT 19 % on 10.00 1.90 EUR",
        "Prepaid credit: prepaid -11.90 EUR",
    ]
    assert bill.statuses() == ["paid"]


def test_a_family_s_tax_is_shared_by_what_each_member_owes(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    plan pro: 10.00 EUR per month
    plan big: 30.00 EUR per month
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    group is in DE
    2026-01-01 north subscribes to pro
    2026-01-01 south subscribes to big
    2026-01-01 close period
    """
    assert bill.lines[-1] == "VAT 19 % on 40.00 7.60 EUR (north: 1.90, south: 5.70)"
    assert bill.subtotals == ["north 11.90", "south 35.70"]


def test_an_interim_invoice_is_taxed_on_what_it_bills(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    plan pro: 0.10 EUR each of calls, interim invoices at 5.00 EUR
    customer acme in EUR
    acme is in DE
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 60 calls
    2026-01-11 bill thresholds
    """
    assert bill.lines == ["60 calls 6.00 EUR", "VAT 19 % on 6.00 1.14 EUR"]
    bill.go_on("2026-01-20 acme uses 10 calls\n2026-02-01 close period")
    assert bill.lines == ["10 calls 1.00 EUR", "VAT 19 % on 1.00 0.19 EUR"]


def test_credits_at_a_higher_rate_never_make_the_total_negative(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 50 % in DE
    tax Zero of 0 % in DE for books
    plan pro: 30.00 EUR per month
    plan shelf: 16.00 EUR per month, taxed as books
    customer acme in EUR
    acme is in DE
    2026-04-01 acme subscribes to pro
    2026-04-01 close period
    2026-04-16 acme changes to shelf
    2026-04-16 close period
    """
    # half of April: 8.00 at 0 % and 15.00 back wait for May; then 8.00 + 16.00 less 15.00 is 9.00
    bill.go_on("2026-05-01 close period")
    # 50 % of -15.00 is -7.50, which 9.00 can carry
    assert bill.invoices == ["INV-000002 acme 1.50 EUR"]
    with pytest.raises(Conflict, match="tax of INV-000002 is below zero"):
        bill.attempt("2026-05-02 take back of INV-000002 1.00")


def test_tax_given_back_is_at_most_what_there_is(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 100 % in DE
    tax Zero of 0 % in DE for books
    plan pro: 30.00 EUR per month
    plan shelf: 16.00 EUR per month, taxed as books
    customer acme in EUR
    acme is in DE
    2026-04-01 acme subscribes to pro
    2026-04-01 close period
    2026-04-16 acme changes to shelf
    2026-05-01 close period
    """
    # 100 % of -15.00 would leave -6.00 of the 9.00
    assert bill.invoices == ["INV-000002 acme 0.00 EUR"]
    assert "VAT 100 % on -15.00 -9.00 EUR" in bill.lines


def test_a_credit_note_takes_tax_back_in_proportion(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in DE
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-05 take back of INV-000001 10.00 of line 1
    2026-01-05 take back of INV-000001 11.90
    """
    assert notes_of(bill) == ["CN-000001 issued 11.90: reduction 11.90", "CN-000002 issued 11.90: reduction 11.90"]
    assert bill.statuses() == ["paid"]


def test_without_a_rate_or_a_country_nothing_is_issued_and_the_reason_is_told(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    customer beta in EUR
    customer good in EUR
    acme is in AT
    good is in DE
    2026-01-01 acme subscribes to pro
    2026-01-01 beta subscribes to pro
    2026-01-01 good subscribes to pro
    """
    now = instant("2026-01-01 12:00")
    report = bill_due_periods(bill.database, now=now)
    assert report.invoices == ["INV-000001"]
    reasons = sorted(report.failures.values())
    assert reasons[0].startswith("the tax of 'beta' is not known: its address has no country")
    assert reasons[1].startswith("there is no tax rate for what has no tax code in AT")
    with pytest.raises(Conflict, match="no tax rate"):
        bill.attempt("2026-01-02 look at acme")
    bill.go_on("tax USt of 20 % in AT\nbeta is in DE\n2026-01-02 close period")
    assert bill.invoices == ["INV-000002 acme 24.00 EUR", "INV-000003 beta 23.80 EUR"]


def test_without_a_rate_what_came_late_waits_and_stops_nobody_else(bill: Story) -> None:
    """
    plan pro: 0.10 EUR each of calls
    customer acme in EUR
    2026-01-01 acme subscribes to pro
    2026-01-15 acme cancels
    2026-01-15 close period
    2026-01-16 acme uses 50 calls on 2026-01-10
    tax is charged in DE
    """
    report = bill_after_the_end(bill.database, now=instant("2026-02-01"))
    assert [reason[:21] for reason in report.failures.values()] == ["the tax of 'acme' is "]
    bill.go_on("acme is in DE\ntax VAT of 19 % in DE\n2026-02-01 close after the end")
    assert bill.invoices == ["INV-000001 acme 5.95 EUR"]


def test_a_stranger_can_check_taxes_and_a_wrong_tax_is_found(bill: Story, tmp_path: Path) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    tax Reduced of 7 % in DE for books
    plan pro: 10.01 EUR per month, 0.10 EUR each of calls, taxed as books
    customer group in EUR
    customer north in EUR paid by group
    group is in DE
    coupon FAMILY: 3.00 EUR off for ever
    2026-01-01 group redeems FAMILY
    2026-01-01 group subscribes to pro
    2026-01-01 close period
    2026-01-10 north uses 31 calls
    2026-01-11 group uses 16 calls
    2026-02-01 close period
    """
    # 3.00 by 10.01 to 3.10 and 1.60 shared lines: 10.01 + 4.70 = 14.71; 2.04 off the fee and 0.96 off the calls
    # 19 % of 7.97 is 1.5143, 7 % of 3.74 is 0.2618
    assert bill.total == "13.48"
    with bill.database.snapshot() as session:
        folder = export_invoice(session, "INV-000002", tmp_path / "export")
    assert run(folder).stdout.splitlines()[-1] == "Everything is equal."
    document = (folder / "document.json").read_text()
    (folder / "document.json").write_text(document.replace('"percentage": "19"', '"percentage": "20"'))
    assert "tax: 159 is due on 797" in run(folder).stdout
    with bill.database.transaction() as session:
        take_guards_away(session, "tax_rates")
        session.execute(text("UPDATE tax_rates SET percentage = 18 WHERE name = 'VAT'"))
    with bill.database.snapshot() as session:
        wrong = [one.detail for one in verify_invoice(session, "INV-000002") if not one.is_equal]
        assert wrong == ["there is no such tax rate"]
        assert [one[:10] for one in check_books(session)] == ["INV-000001", "INV-000002"]


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(PROGRAM), str(folder)], capture_output=True, text=True, check=False)
