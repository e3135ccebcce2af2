"""Stories of invoices that would be too small: carried to the next one, and what becomes of the last."""

from tests.scenarios.story import Story


def test_what_is_below_the_minimum_is_carried_to_the_next_invoice_with_its_own_lines(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls
    no invoice below 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 20 calls
    2026-02-01 close period
    """
    assert bill.invoices == []
    bill.go_on("2026-02-10 acme uses 29 calls\n2026-03-01 close period")
    # 2.00 and 2.90 are 4.90
    assert bill.invoices == []
    bill.go_on("2026-03-10 acme uses 1 calls\n2026-03-11 look at acme")
    assert bill.preview == ["calls 2.00", "calls 2.90", "calls 0.10"]
    bill.go_on("2026-04-01 close period")
    assert bill.lines == ["20 calls 2.00 EUR", "29 calls 2.90 EUR", "1 calls 0.10 EUR"]
    assert bill.invoices == ["INV-000001 acme 5.00 EUR"]


def test_late_usage_of_a_carried_period_is_added_to_it(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls
    no invoice below 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 20 calls
    2026-02-01 close period
    2026-02-02 acme uses 3 calls on 2026-01-31
    2026-02-10 acme uses 40 calls
    2026-03-01 close period
    """
    assert bill.lines == ["20 calls 2.00 EUR", "late 3 calls 0.30 EUR", "40 calls 4.00 EUR"]


def test_the_last_invoice_of_who_leaves_is_issued_however_small(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls
    no invoice below 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 20 calls
    2026-02-01 close period
    2026-02-10 acme uses 7 calls
    2026-02-11 acme cancels
    2026-02-12 close period
    """
    assert bill.lines == ["20 calls 2.00 EUR", "7 calls 0.70 EUR"]


def test_or_it_is_waived_and_never_billed(bill: Story) -> None:
    """
    plan payg: 0.10 EUR each of calls
    no invoice below 5.00 EUR and the last is waived
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 20 calls
    2026-02-01 close period
    2026-02-11 acme cancels
    2026-02-12 close period
    2026-02-13 close after the end
    """
    assert bill.invoices == []
    bill.go_on(
        """
        no invoice below 0.00 EUR
        2026-02-14 close after the end
        2026-02-15 look at acme
        """
    )
    assert bill.invoices == []
    assert bill.preview == []


def test_the_minimum_is_that_of_the_invoices_currency(bill: Story) -> None:
    """
    plan payg: 0.10 USD each of calls
    no invoice below 5.00 EUR
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 20 calls
    2026-02-01 close period
    """
    assert bill.invoices == ["INV-000001 acme 2.00 USD"]


def test_several_cadences_are_on_one_invoice_when_they_fall_due_together(bill: Story) -> None:
    """
    plan mix: 5.00 EUR per week for team in arrears, 0.10 EUR each of calls, 0.50 EUR each of jobs, billed every quarter
    no invoice below 9.00 EUR
    2026-01-01 acme subscribes to mix
    2026-01-02 acme uses 10 calls
    2026-01-02 acme uses 3 jobs
    2026-01-08 close period
    """
    # a week alone is too little; with the second it is not
    assert bill.invoices == []
    bill.go_on("2026-01-15 close period")
    assert bill.lines == ["mix team 5.00 EUR", "mix team 5.00 EUR"]
    bill.go_on("2026-01-22 close period\n2026-01-29 close period\n2026-02-01 close period")
    # two weeks were an invoice on the 29th; January's calls are carried until the next weeks
    assert bill.invoices == []
    bill.go_on("2026-02-05 close period\n2026-02-12 close period")
    assert bill.lines == ["mix team 5.00 EUR", "mix team 5.00 EUR", "10 calls 1.00 EUR"]
    bill.go_on("2026-03-26 close period\n2026-04-01 close period\n2026-04-02 close period")
    # the quarter's jobs and a week are 6.50
    assert bill.invoices == []
    bill.go_on("2026-04-09 close period")
    assert bill.lines == ["mix team 5.00 EUR", "mix team 5.00 EUR", "3 jobs 1.50 EUR"]
