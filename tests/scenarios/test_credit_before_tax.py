"""Prepaid credit that lessens what is taxed, told as stories; amounts by hand."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.scenarios.document_acts import notes_of
from tests.scenarios.story import Story
from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.export import export_invoice
from tollkeeper.invoices.verify import verify_invoice

PROGRAM = Path(__file__).parents[2] / "docs" / "check_invoice.py"


def test_what_was_given_away_lessens_the_tax_and_what_was_paid_pays_it(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in DE
    2026-01-01 grant acme 8.00 EUR of promotional credit named welcome
    2026-01-01 grant acme 10.00 EUR of paid credit named prepaid
    2026-01-01 acme subscribes to pro
    2026-01-01 look at acme
    2026-01-01 close period
    """
    # 19 % of 12.00 is 2.28; of 14.28 the paid credit pays 10.00
    expected = ["Prepaid credit: welcome -8.00", "VAT 19 % on 12.00 2.28", "Prepaid credit: prepaid -10.00"]
    assert bill.preview[1:] == expected
    assert bill.lines[1:] == [f"{line} EUR" for line in expected]
    assert bill.total == "4.28"


def test_all_credit_is_drawn_before_tax_if_the_seller_says_so(bill: Story) -> None:
    """
    tax is charged in DE, after all credit
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in DE
    2026-01-01 grant acme 8.00 EUR of promotional credit named welcome
    2026-01-01 grant acme 10.00 EUR of paid credit named prepaid
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    assert bill.lines[1:] == [
        "Prepaid credit: welcome -8.00 EUR",
        "Prepaid credit: prepaid -10.00 EUR",
        "VAT 19 % on 2.00 0.38 EUR",
    ]
    assert bill.total == "2.38"


def test_no_credit_is_drawn_before_tax_if_the_seller_says_so(bill: Story) -> None:
    """
    tax is charged in DE, after no credit
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in DE
    2026-01-01 grant acme 8.00 EUR of promotional credit named welcome
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    assert bill.lines[1:] == ["VAT 19 % on 20.00 3.80 EUR", "Prepaid credit: welcome -8.00 EUR"]
    assert bill.total == "15.80"


def test_credit_that_covers_all_of_it_leaves_no_tax_and_keeps_its_rest(bill: Story) -> None:
    """
    tax is charged in DE, after all credit
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in DE
    2026-01-01 grant acme 23.00 EUR of paid credit named prepaid
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    assert bill.lines[1:] == ["Prepaid credit: prepaid -20.00 EUR"]
    assert bill.statuses() == ["paid"]
    assert bill.credit("acme", "2026-01-02") == "3.00"


def test_credit_is_taken_off_each_rate_in_proportion(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    tax Reduced of 7 % in DE for books
    plan pro: 20.00 EUR per month, 10.00 EUR per month for shelf, taxed as books
    customer acme in EUR
    acme is in DE
    coupon TEN: 10 % off
    2026-01-01 grant acme 5.00 EUR of promotional credit named welcome
    2026-01-01 acme redeems TEN
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # after the coupon 18.00 and 9.00; of 5.00 come 3.333 and 1.667 off: 14.67 and 7.33; 2.7873 and 0.5131 of tax
    assert bill.lines[3:] == [
        "Prepaid credit: welcome -5.00 EUR",
        "VAT 19 % on 14.67 2.79 EUR",
        "Reduced 7 % on 7.33 0.51 EUR",
    ]
    assert bill.total == "25.30"


def test_credit_lessens_the_tax_that_is_inside_of_prices(bill: Story) -> None:
    """
    tax is charged in FR inside of prices
    tax TVA of 20 % in FR
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in FR
    2026-01-01 grant acme 8.00 EUR of promotional credit named welcome
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # 12.00 * 20 / 120
    assert bill.total == "12.00"
    with bill.database.snapshot() as session:
        said = session.scalars(text("SELECT description FROM invoice_lines WHERE kind = 'tax'")).one()
    assert said == "Including TVA 20 % on 10.00: 2.00"


def test_a_void_invoice_gives_back_what_was_drawn_before_tax_and_after_it(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in DE
    2026-01-01 grant acme 8.00 EUR of promotional credit named welcome
    2026-01-01 grant acme 10.00 EUR of paid credit named prepaid
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-02 void INV-000001
    """
    assert bill.credit("acme", "2026-01-02") == "18.00"
    bill.go_on("2026-02-01 close period")
    # 40.00 of two months, less 8.00; 19 % of 32.00 is 6.08
    assert bill.lines[2:] == [
        "Prepaid credit: welcome -8.00 EUR",
        "VAT 19 % on 32.00 6.08 EUR",
        "Prepaid credit: prepaid -10.00 EUR",
    ]


def test_a_credit_note_gives_back_what_credit_paid_before_tax_as_credit(bill: Story) -> None:
    """
    tax is charged in DE, after all credit
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in DE
    2026-01-01 grant acme 5.00 EUR of paid credit named prepaid
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # 15.00 and 2.85 of tax are due; the whole is 20.00 and 2.85
    assert bill.total == "17.85"
    with pytest.raises(InvalidInput, match=r"only 0\.00 of money was paid"):
        bill.attempt("2026-01-05 take back of INV-000001 20.00 of line 1 to out of band")
    bill.go_on("2026-01-05 take back of INV-000001 20.00 of line 1 to credit")
    assert notes_of(bill) == ["CN-000001 issued 22.85: reduction 17.85, credit 5.00"]
    assert bill.credit("acme", "2026-01-06") == "5.00"
    assert bill.statuses() == ["paid"]


def test_a_family_s_credit_before_tax_is_shared_as_its_charges_are(bill: Story) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    plan pro: 10.00 EUR per month
    plan big: 30.00 EUR per month
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    group is in DE
    2026-01-01 grant group 20.00 EUR of promotional credit named welcome
    2026-01-01 north subscribes to pro
    2026-01-01 south subscribes to big
    2026-01-01 close period
    """
    assert bill.lines[2:] == [
        "Prepaid credit: welcome -20.00 EUR (north: -5.00, south: -15.00)",
        "VAT 19 % on 20.00 3.80 EUR (north: 0.95, south: 2.85)",
    ]
    assert bill.subtotals == ["north 5.95", "south 17.85"]


def test_a_stranger_can_check_credit_before_tax_and_a_changed_part_is_found(bill: Story, tmp_path: Path) -> None:
    """
    tax is charged in DE
    tax VAT of 19 % in DE
    tax Reduced of 7 % in DE for books
    plan pro: 20.01 EUR per month, 10.00 EUR per month for shelf, taxed as books
    customer acme in EUR
    acme is in DE
    2026-01-01 grant acme 5.00 EUR of promotional credit named welcome
    2026-01-01 grant acme 7.00 EUR of paid credit named prepaid
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    """
    # of 5.00 come 3.3339 and 1.6661 off, rounded 3.33 and 1.67: 16.68 and 8.33; 3.1692 and 0.5831 of tax
    assert bill.total == "21.76"
    with bill.database.snapshot() as session:
        folder = export_invoice(session, "INV-000001", tmp_path / "export")
        assert all(one.is_equal for one in verify_invoice(session, "INV-000001"))
    run = [sys.executable, str(PROGRAM), str(folder)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.endswith("Everything is equal.\n")
    document = (folder / "document.json").read_text()
    (folder / "document.json").write_text(document.replace('"amount_minor": 333,', '"amount_minor": 332,'))
    told = subprocess.run(run, capture_output=True, text=True, check=False).stdout
    assert "credit: line 3 is taken off the charges in another proportion" in told


def test_taxed_money_does_not_become_credit_that_is_drawn_before_tax(bill: Story) -> None:
    """
    tax is charged in DE, after all credit
    tax VAT of 19 % in DE
    plan pro: 100.00 EUR per month
    customer acme in EUR
    acme is in DE
    2026-01-01 grant acme 40.00 EUR of paid credit named bought
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
    2026-01-02 pay INV-000001
    """
    # 60.00 and 11.40 of tax were paid; 119.00 as credit would pay 119.00 of February without tax
    with pytest.raises(InvalidInput, match="would never be taxed"):
        bill.attempt("2026-01-05 take back of INV-000001 111.40 to credit")
    # what credit had paid may come back as credit
    bill.go_on("2026-01-05 take back of INV-000001 40.00 to credit")
    bill.go_on("2026-01-05 take back of INV-000001 71.40 to out of band")
