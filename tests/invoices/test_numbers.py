"""Numbers have no gap, whoever finalizes at the same time and whatever is rolled back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from tests.scenarios.story import Story
from tollkeeper.errors import NotFound
from tollkeeper.invoices.billing_run import bill_due_periods
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.numbers import ensure_legal_entity, take_number
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.tables import Invoice
from tollkeeper.storage.session import Database

NOW = datetime(2026, 2, 1, 2, tzinfo=UTC)


class Aborted(Exception):
    """Thrown by the test."""


def take(database: Database, *, and_abort: bool = False) -> str | None:
    try:
        with database.transaction() as session:
            number = take_number(session, "default").text
            if and_abort:
                abort()
    except Aborted:
        return None
    return number


def abort() -> None:
    raise Aborted


def test_a_rollback_gives_the_number_back(database: Database) -> None:
    with database.transaction() as session:
        ensure_legal_entity(session, "default")
    assert take(database, and_abort=True) is None
    assert [take(database), take(database)] == ["INV-000001", "INV-000002"]


def test_each_legal_entity_has_its_own_sequence(database: Database) -> None:
    with database.transaction() as session:
        ensure_legal_entity(session, "de", number_prefix="DE")
        ensure_legal_entity(session, "us", number_prefix="US")
        ensure_legal_entity(session, "us", number_prefix="ignored")
        numbers = [take_number(session, key).text for key in ("de", "us", "de")]
    assert numbers == ["DE000001", "US000001", "DE000002"]


def test_many_finalizations_at_once_leave_no_gap(database: Database) -> None:
    with database.transaction() as session:
        ensure_legal_entity(session, "default")

    with ThreadPoolExecutor(8) as pool:
        numbers = pool.map(lambda index: take(database, and_abort=index % 3 == 0), range(60))
        taken = sorted(number for number in numbers if number)
    assert taken == [f"INV-{n:06}" for n in range(1, 41)]


def test_billing_runs_at_once_issue_each_invoice_once(database: Database) -> None:
    subscriptions = "\n".join(f"2026-01-01 customer{n} subscribes to pro" for n in range(12))
    Story(database, f"plan pro: 20.00 EUR per month\n{subscriptions}")
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: bill_due_periods(database, now=NOW), range(4)))
    assert [report.failures for report in reports] == [{}, {}, {}, {}]
    issued = sorted(number for report in reports for number in report.invoices)
    assert issued == [f"INV-{n:06}" for n in range(1, 25)]
    with database.snapshot() as session:
        assert len(session.scalars(select(Invoice)).all()) == 24
        assert check_books(session) == []


def test_an_unknown_invoice_is_named(database: Database) -> None:
    with database.snapshot() as session, pytest.raises(NotFound, match="INV-9"):
        get_invoice(session, "INV-9")
