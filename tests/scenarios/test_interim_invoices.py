"""Stories of progressive billing: interim invoices at a threshold, and what is left at the period's end."""

import subprocess
import sys
from pathlib import Path

from tests.scenarios.story import Story
from tollkeeper.invoices.export import export_invoice


def test_an_interim_invoice_comes_when_the_usage_reaches_the_threshold(bill: Story) -> None:
    """
    plan payg: 20.00 EUR per month in arrears, calls graduated to 10 at 0 | above at 0.10, interim invoices at 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-05 acme uses 59 calls
    2026-01-06 bill thresholds
    """
    # 49 calls at 0.10 are 4.90: not yet
    assert bill.invoices == []
    bill.go_on(
        """
        2026-01-07 acme uses 1 calls
        2026-01-08 bill thresholds
        """
    )
    assert bill.lines == ["50 calls 5.00 EUR"]
    bill.go_on("2026-01-09 bill thresholds")
    assert bill.invoices == []
    bill.go_on(
        """
        2026-01-20 acme uses 7 calls
        2026-02-01 close period
        """
    )
    # the fee waits for the end, and of the calls only the seven are left
    assert bill.lines == ["payg 20.00 EUR", "7 calls 0.70 EUR"]
    assert bill.total == "20.70"


def test_a_period_without_more_usage_ends_with_the_fee_alone(bill: Story) -> None:
    """
    plan payg: 20.00 EUR per month in arrears, 0.10 EUR each of calls, interim invoices at 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-05 acme uses 50 calls
    2026-01-06 bill thresholds
    2026-02-01 close period
    2026-03-01 close period
    """
    assert bill.statuses() == ["issued"] * 3
    assert bill.lines == ["payg 20.00 EUR"]


def test_the_minimum_is_due_at_the_end_and_less_what_the_usage_came_to(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls, at least 30.00 EUR, interim invoices at 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-05 acme uses 60 calls
    2026-01-06 bill thresholds
    2026-01-07 acme uses 70 calls
    2026-01-08 bill thresholds
    2026-02-01 close period
    """
    # 6.00 and 7.00 were billed; the minimum fills up to 30.00
    assert bill.lines == ["calls minimum_commitment 17.00 EUR"]


def test_a_volume_price_is_known_at_the_end_only(bill: Story) -> None:
    """
    plan payg: calls volume to 100 at 0.10 | above at 0.05, interim invoices at 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-05 acme uses 90 calls
    2026-01-06 bill thresholds
    """
    assert bill.invoices == []
    bill.go_on("2026-01-07 acme uses 30 calls\n2026-02-01 close period")
    assert bill.lines == ["120 calls 6.00 EUR"]


def test_a_maximum_holds_for_the_period_and_not_for_each_invoice(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls, at most 8.00 EUR, interim invoices at 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-05 acme uses 60 calls
    2026-01-06 bill thresholds
    2026-01-07 acme uses 100 calls
    2026-01-08 bill thresholds
    2026-02-01 close period
    """
    # 6.00 at first; of the 10.00 that followed 8.00 take away
    assert bill.lines == ["100 calls 10.00 EUR", "calls maximum_spend -8.00 EUR"]


def test_usage_that_comes_late_for_an_interim_invoice_is_on_the_next_one(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls, interim invoices at 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-05 acme uses 60 calls
    2026-01-06 bill thresholds
    2026-01-07 acme uses 5 calls on 2026-01-02
    2026-02-01 close period
    2026-02-03 acme uses 2 calls on 2026-01-03
    2026-02-04 acme uses 1 calls
    2026-03-01 close period
    """
    assert bill.lines == ["late 2 calls 0.20 EUR", "1 calls 0.10 EUR"]
    assert bill.statuses() == ["issued"] * 3


def test_a_change_of_plan_ends_what_interim_invoices_began(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls, interim invoices at 5.00 EUR
    plan flat: 1.00 EUR each of calls
    2026-01-01 acme subscribes to payg
    2026-01-05 acme uses 60 calls
    2026-01-06 bill thresholds
    2026-01-10 acme uses 4 calls
    2026-01-11 acme changes to flat
    2026-01-12 acme uses 3 calls
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000002 acme 0.40 EUR", "INV-000003 acme 3.00 EUR"]


def test_a_voided_interim_invoice_waits_for_the_next_one(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls, interim invoices at 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-05 acme uses 60 calls
    2026-01-06 bill thresholds
    2026-01-07 void INV-000001
    2026-01-08 acme uses 1 calls
    2026-01-09 look at acme
    2026-02-01 close period
    """
    assert bill.preview == ["calls 6.00", "calls 0.10"]
    assert bill.total == "6.10"


def test_the_preview_shows_what_interim_invoices_left(bill: Story) -> None:
    """
    plan payg: 20.00 EUR per month in arrears, 0.10 EUR each of calls, at least 9.00 EUR, interim invoices at 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-05 acme uses 60 calls
    2026-01-06 bill thresholds
    2026-01-10 acme uses 4 calls
    2026-01-11 look at acme
    """
    # 6.00 were billed, so the minimum of 9.00 leaves 2.60 beside the 0.40
    assert bill.preview == ["fee 20.00", "calls 0.40", "calls 2.60"]


def test_a_familys_usage_reaches_the_threshold_together(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls, interim invoices at 5.00 EUR
    customer group in EUR
    customer north in EUR paid by group
    2026-01-01 group subscribes to payg
    2026-01-05 group uses 20 calls
    2026-01-05 north uses 30 calls
    2026-01-06 bill thresholds
    """
    assert bill.lines == ["50 calls 5.00 EUR (group 20: 2.00, north 30: 3.00)"]


def test_however_a_period_is_split_each_subsidiary_pays_for_what_it_used(bill: Story, tmp_path: Path) -> None:
    """
    plan payg: calls graduated to 60 at 0.10 | above at 0.05, interim invoices at 5.00 EUR
    customer group in EUR
    customer north in EUR paid by group
    customer south in EUR paid by group
    2026-01-01 group subscribes to payg
    2026-01-05 north uses 50 calls
    2026-01-06 bill thresholds
    """
    assert bill.subtotals == ["north 5.00"]
    bill.go_on("2026-01-07 south uses 50 calls\n2026-02-01 close period")
    # 60 calls are 6.00 and 40 are 2.00: 4.00 for each, of which north was told 5.00
    assert bill.lines == [
        "10 calls 1.00 EUR (north 50: -2.00, south 50: 3.00)",
        "40 calls 2.00 EUR (north 50: 1.00, south 50: 1.00)",
    ]
    assert bill.subtotals == ["north -1.00", "south 4.00"]
    with bill.database.snapshot() as session:
        folder = export_invoice(session, "INV-000002", tmp_path / "export")
    program = Path(__file__).parents[2] / "docs" / "check_invoice.py"
    checked = subprocess.run([sys.executable, str(program), str(folder)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
