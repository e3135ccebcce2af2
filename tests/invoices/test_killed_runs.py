"""The billing run and the sync, killed with -9 at random points and run again: the result is the same."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.fakes import fake_stripe
from tests.scenarios.story import Story
from tests.stripe_account import FakeStripe
from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.reading import list_lines
from tollkeeper.invoices.tables import Invoice
from tollkeeper.invoices.verify import verify_invoice
from tollkeeper.payments.tables import StripeSync
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

ROUNDS = int(os.environ.get("KILL_ROUNDS", "5"))
CUSTOMERS = 20
NOW = datetime(2026, 2, 1, 2, tzinfo=UTC)


class Worker:
    """Runs of the billing and the sync, each in a process that can be killed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.orders, self.answers = process.stdin, process.stdout

    def begin(self, now: datetime) -> None:
        """Start a run; return when it is about to begin."""
        self._order(now.isoformat())
        self._answer("ready")

    def end(self, how: str) -> int:
        """Kill the run, or wait for its end; return its exit code."""
        self._order(how)
        return int(self._answer("ended"))

    def _answer(self, word: str) -> str:
        """Return what follows the word; what a run logs in between is passed over."""
        line = next(line for line in self.answers if line.startswith(word))
        return line.removeprefix(word).strip()

    def _order(self, line: str) -> None:
        self.orders.write(f"{line}\n")
        self.orders.flush()


@contextmanager
def at_work(database_url: str, stripe_url: str) -> Iterator[Worker]:
    command = [sys.executable, "-m", "tests.invoices.bill_and_sync", database_url, stripe_url]
    root = Path(__file__).parents[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=root, **pipes) as process:
        yield Worker(process)
        assert process.stdin is not None
        process.stdin.close()


def billed(session: Session) -> list[tuple[str, int, list[int]]]:
    """Return what each customer was billed, in order of customer and number."""
    found = [
        (
            session.get_one(Customer, invoice.customer_id).key,
            invoice.total_minor,
            [line.amount_minor for line in list_lines(session, invoice.id)],
        )
        for invoice in session.scalars(select(Invoice).order_by(Invoice.sequence_number))
    ]
    return sorted(found, key=lambda entry: (entry[0], len(entry[2])))


def expected() -> list[tuple[str, int, list[int]]]:
    """Work out by hand: 20.00 in advance in January; in February 20.00 and as many calls at 0.10 as the number."""
    return [
        entry
        for n in range(CUSTOMERS)
        for entry in ((f"c{n:02}", 2000, [2000]), (f"c{n:02}", 2010 + 10 * n, [2000, 10 + 10 * n]))
    ]


@pytest.mark.slow
def test_killed_anywhere_and_run_again_gives_the_same(database_url: str) -> None:
    database = Database(open_engine(database_url))
    told = [f"2026-01-01 c{n:02} subscribes to pro\n2026-01-10 c{n:02} uses {n + 1} calls" for n in range(CUSTOMERS)]
    Story(database, "plan pro: 20.00 EUR per month, 0.10 EUR each of calls\n" + "\n".join(told))
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    with fake_stripe() as account, at_work(database_url, account.url) as worker:
        for index in range(ROUNDS):
            worker.begin(NOW + timedelta(minutes=20 * index))
            time.sleep(chance.uniform(0.02, 1.5))
            assert worker.end("kill") in {-signal.SIGKILL, 0}
            with database.snapshot() as session:
                assert check_books(session) == [], f"seed {seed}, round {index}"
        worker.begin(NOW + timedelta(minutes=20 * ROUNDS))
        assert worker.end("wait") == 0
        with database.snapshot() as session:
            assert billed(session) == expected(), f"seed {seed}"
            assert check_books(session) == []
            for invoice in session.scalars(select(Invoice)):
                assert all(finding.is_equal for finding in verify_invoice(session, invoice.id))
        assert_stripe_has_the_same(database, account)
    database.dispose()


def assert_stripe_has_the_same(database: Database, account: FakeStripe) -> None:
    with database.snapshot() as session:
        assert [
            (sync.state, sync.problem) for sync in session.scalars(select(StripeSync)) if sync.state != "done"
        ] == []
        ours = sorted((str(invoice.number), invoice.total_minor) for invoice in session.scalars(select(Invoice)))
    theirs = sorted(
        (invoice["metadata"]["tollkeeper_invoice_number"], invoice["total"]) for invoice in account.invoices.values()
    )
    assert theirs == ours
    assert {invoice["status"] for invoice in account.invoices.values()} == {"open"}
    assert len(account.customers) == CUSTOMERS
