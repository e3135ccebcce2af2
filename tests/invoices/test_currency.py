"""A plan's price is never billed in another currency than its own."""

from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from tests.scenarios.story import Story
from tollkeeper.customers.customers import get_customer, update_customer
from tollkeeper.errors import Conflict
from tollkeeper.invoices.billing_run import bill_due_periods
from tollkeeper.invoices.draft import draft_invoice
from tollkeeper.invoices.preview import preview_invoice, revenue_so_far
from tollkeeper.storage.session import Database

JANUARY = datetime(2026, 1, 20, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, 12, tzinfo=UTC)
TOLD = """
    plan payg: 1.00 EUR each of calls
    2026-01-01 acme subscribes to payg
    2026-01-01 globex subscribes to payg
    2026-01-10 acme uses 5 calls
    2026-01-10 globex uses 6 calls
"""


def change_currency(database: Database, key: str, currency: str) -> None:
    with database.transaction() as session:
        update_customer(session, key, {"currency": currency})


def test_a_customer_whose_currency_was_changed_is_reported_and_not_billed(database: Database) -> None:
    Story(database, TOLD)
    change_currency(database, "acme", "JPY")
    report = bill_due_periods(database, now=FEBRUARY)
    # the other customer is billed, and acme is as soon as its currency is right again
    assert report.invoices == ["INV-000001"]
    assert ["is priced in EUR" in message for message in report.failures.values()] == [True]
    with database.snapshot() as session, pytest.raises(Conflict, match="priced in EUR"):
        preview_invoice(session, get_customer(session, "acme"), now=FEBRUARY)
    with database.snapshot() as session:
        assert revenue_so_far(session, get_customer(session, "acme"), now=JANUARY) == 0
    change_currency(database, "acme", "EUR")
    with database.snapshot() as session:
        assert revenue_so_far(session, get_customer(session, "acme"), now=JANUARY) == 500
    assert bill_due_periods(database, now=FEBRUARY).invoices == ["INV-000002"]


def test_why_a_payer_is_not_billed_is_one_line_of_the_log(database: Database) -> None:
    """The run comes again every few seconds: a traceback each time would bury everything else."""
    Story(database, TOLD)
    change_currency(database, "acme", "JPY")
    with capture_logs() as logs:
        bill_due_periods(database, now=FEBRUARY)
    [told] = [entry for entry in logs if entry["event"] == "billing_failed"]
    assert "is priced in EUR" in told["reason"]
    assert (told["log_level"], "exc_info" in told) == ("warning", False)


def test_a_waiting_charge_is_not_drafted_in_another_currency(database: Database) -> None:
    Story(database, TOLD + "2026-02-01 close period\n2026-02-02 void INV-000001\n2026-02-02 void INV-000002")
    change_currency(database, "acme", "JPY")
    with database.transaction() as session, pytest.raises(Conflict, match="a charge of EUR waits"):
        draft_invoice(session, get_customer(session, "acme"), now=FEBRUARY)


def test_a_subsidiary_of_another_currency_than_its_payer_is_refused(database: Database) -> None:
    Story(database, "plan payg: 1.00 EUR each of calls\ncustomer group in EUR\ncustomer north in USD")
    with database.transaction() as session, pytest.raises(Conflict, match="have one currency"):
        update_customer(session, "north", {"parent": "group"})
