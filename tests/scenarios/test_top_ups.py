"""Automatic top-ups that are charged, told as stories; amounts by hand."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.invoices.test_properties import fresh
from tests.scenarios.document_acts import instant
from tests.scenarios.story import Story
from tollkeeper.credits.top_up import TopUpTerms, set_top_up, stop_top_up
from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.export import export_invoice
from tollkeeper.invoices.reading import list_invoices
from tollkeeper.invoices.top_up import charge_top_ups
from tollkeeper.storage.session import Database

PROGRAM = Path(__file__).parents[2] / "docs" / "check_invoice.py"
BELOW = """
    plan pro: 20.00 EUR per month
    customer acme in EUR
    2026-01-01 grant acme 25.00 EUR of paid credit named first
    2026-01-01 acme is charged 50.00 whenever its credit is below 10.00
    2026-01-01 charge top-ups
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
"""  # INV-000001, paid by credit, which leaves 5.00


def test_a_top_up_is_charged_once_and_granted_when_it_is_paid(database: Database, tmp_path: Path) -> None:
    story = Story(database, BELOW)
    story.go_on("2026-01-02 charge top-ups")
    assert story.invoices == ["INV-000002 acme 50.00 EUR"]
    assert story.lines == ["Top-up of prepaid credit 50.00 EUR"]
    story.go_on("2026-01-03 charge top-ups")
    assert story.invoices == []
    assert story.credit("acme", "2026-01-03") == "5.00"
    story.go_on("2026-01-04 pay 49.99 of INV-000002")
    assert story.credit("acme", "2026-01-04") == "5.00"
    with database.snapshot() as session:
        folder = export_invoice(session, "INV-000002", tmp_path / "export")
    told = subprocess.run([sys.executable, str(PROGRAM), str(folder)], capture_output=True, text=True, check=False)
    assert told.stdout.endswith("Everything is equal.\n")
    story.go_on("2026-01-05 pay INV-000002")
    assert story.credit("acme", "2026-01-05") == "55.00"
    story.go_on("2026-02-01 close period")
    assert story.lines[1:] == ["Prepaid credit: first -5.00 EUR", "Prepaid credit: Top-up INV-000002 -15.00 EUR"]
    # 35.00 and 15.00 of March are above 10.00, what April leaves is not
    story.go_on("2026-03-01 close period\n2026-03-01 charge top-ups")
    assert story.invoices == []
    story.go_on("2026-04-01 close period\n2026-04-01 charge top-ups")
    assert story.invoices == ["INV-000006 acme 50.00 EUR"]


def test_a_top_up_has_no_coupon_credit_minimum_or_tax(database: Database) -> None:
    story = Story(
        database,
        BELOW
        + """
        tax is charged in DE
        tax VAT of 19 % in DE
        acme is in DE
        coupon HALF: 50 % off
        2026-01-02 acme redeems HALF
        no invoice below 100.00 EUR
        2026-01-02 charge top-ups
        """,
    )
    assert story.lines == ["Top-up of prepaid credit 50.00 EUR"]
    with pytest.raises(InvalidInput, match=r"at most 0\.00"):
        story.attempt("2026-01-03 take back of INV-000002 1.00")


def test_a_void_top_up_is_charged_again_only_when_it_is_switched_on_again(database: Database) -> None:
    story = Story(database, BELOW)
    story.go_on("2026-01-02 charge top-ups\n2026-01-03 void INV-000002\n2026-01-03 charge top-ups")
    assert story.invoices == []
    with database.transaction() as session:
        acme = get_customer(session, "acme").id
        stop_top_up(session, acme, "EUR", now=instant("2026-01-04"))
        set_top_up(session, acme, "EUR", TopUpTerms(1000, 3000, is_charged=True), now=instant("2026-01-05"))
    story.go_on("2026-01-05 charge top-ups")
    assert story.invoices == ["INV-000003 acme 30.00 EUR"]


def test_a_second_top_up_is_not_charged_while_the_first_is_not_paid(database: Database) -> None:
    story = Story(database, BELOW)
    story.go_on("2026-01-02 charge top-ups\n2026-01-03 grant acme 10.00 EUR of paid credit named other")
    # 15.00 are not below 10.00: the first fall is over; February takes them, and the balance falls again
    story.go_on("2026-02-01 close period\n2026-02-01 charge top-ups")
    assert story.credit("acme", "2026-02-01") == "0.00"
    assert story.invoices == []
    story.go_on("2026-02-02 pay INV-000002\n2026-02-02 charge top-ups")
    assert story.credit("acme", "2026-02-02") == "50.00"
    assert story.invoices == []


def test_a_balance_that_a_paid_top_up_leaves_below_the_threshold_is_topped_up_again(database: Database) -> None:
    story = Story(
        database,
        """
        customer acme in EUR
        2026-01-01 acme is charged 50.00 whenever its credit is below 80.00
        2026-01-01 charge top-ups
        2026-01-01 pay INV-000001
        2026-01-01 charge top-ups
        """,
    )
    assert story.credit("acme", "2026-01-01") == "50.00"
    assert story.invoices == ["INV-000002 acme 50.00 EUR"]
    story.go_on("2026-01-02 pay INV-000002\n2026-01-02 charge top-ups")
    assert story.credit("acme", "2026-01-02") == "100.00"
    assert story.invoices == []


def test_a_top_up_that_would_have_to_be_taxed_is_refused_and_charges_nothing(database: Database) -> None:
    Story(database, BELOW + "\ntax is charged in DE, after all credit")
    report = charge_top_ups(database, now=instant("2026-01-02"))
    assert report.invoices == []
    assert ["a top-up would have to be taxed" in reason for reason in report.failures.values()] == [True]


def test_many_workers_charge_a_top_up_once(database: Database) -> None:
    Story(database, BELOW)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: charge_top_ups(database, now=instant("2026-01-02")), range(4)))
    assert [number for report in reports for number in report.invoices] == ["INV-000002"]
    with database.snapshot() as session:
        assert check_books(session) == []


class Killed(BaseException):
    """The process ends here."""


def test_a_top_up_that_is_killed_at_any_statement_is_charged_once(sqlite_template: Path, tmp_path: Path) -> None:
    database = fresh(sqlite_template, tmp_path)
    Story(database, BELOW)
    for left in range(1, 200):
        count = [left]

        def kill(*_: Any, count: list[int] = count) -> None:
            count[0] -= 1
            if count[0] == 0:
                raise Killed

        event.listen(database.engine, "before_cursor_execute", kill)
        try:
            report = charge_top_ups(database, now=instant("2026-01-02"))
        except Killed:
            with database.snapshot() as session:
                assert len(list_invoices(session)) == 1
            continue
        finally:
            event.remove(database.engine, "before_cursor_execute", kill)
        break
    assert left > 10  # so many statements it was killed at
    assert report.invoices == ["INV-000002"]
    with database.snapshot() as session:
        assert check_books(session) == []
    database.dispose()
