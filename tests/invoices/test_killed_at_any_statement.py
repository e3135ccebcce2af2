"""The billing run, killed with -9 at any statement or commit and run again: identical to one that nobody killed."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.invoices.bill_until_killed import bill_all
from tests.scenarios.story import Story
from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.reading import list_lines
from tollkeeper.invoices.tables import Invoice
from tollkeeper.invoices.verify import verify_invoice
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 4, 1, 2, tzinfo=UTC)
CUSTOMERS = 24
ROUNDS = 20
FURTHEST = 120  # statements; a transaction of four payers has some forty, so a child gets through two or three


def tell() -> str:
    """Tell of customers with their own start in January, some with credit, some with a subsidiary; three months."""
    told = [
        "plan pro: 20.00 EUR per month, calls graduated to 10 at 0.5 | above at 0.25, 10 % off, 0.10 EUR each of jobs"
    ]
    for n in range(CUSTOMERS):
        start = f"2026-01-{1 + n % 3:02}"
        told += [f"customer c{n:02} in EUR", f"{start} c{n:02} subscribes to pro"]
        if n % 4 == 0:
            told += [f"customer s{n:02} in EUR paid by c{n:02}", f"2026-01-15 s{n:02} uses 7 calls"]
        if n % 5 == 0:
            told.append(f"2026-01-04 grant c{n:02} {n + 1}.00 EUR of promotional credit")
        told += [f"2026-{month}-10 c{n:02} uses {n + 1} calls" for month in ("01", "02", "03")]
        told.append(f"2026-02-20 c{n:02} uses 3 jobs")
    return "\n".join(told)


def documents(database: Database) -> Iterator[tuple[Any, ...]]:
    """Yield what every invoice says, in order of the numbers, without the ids that chance gives."""
    with database.snapshot() as session:
        for invoice in session.scalars(select(Invoice).order_by(Invoice.sequence_number)):
            key = session.get_one(Customer, invoice.customer_id).key
            lines = [
                (line.kind, line.description, line.quantity, line.amount_minor, line.period_start, line.period_end)
                for line in list_lines(session, invoice.id)
            ]
            yield invoice.number, key, invoice.total_minor, invoice.period_start, invoice.period_end, lines


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20260401, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(10))])
def test_twenty_kills_leave_the_documents_of_a_run_that_nobody_killed(
    database_url: str, sqlite_template: Path, tmp_path: Path, seed: int
) -> None:
    whole_url = f"sqlite:///{tmp_path / 'whole.db'}"
    (tmp_path / "whole.db").write_bytes(sqlite_template.read_bytes())
    whole, killed = Database(open_engine(whole_url)), Database(open_engine(database_url))
    Story(whole, tell())
    Story(killed, tell())
    bill_all(whole_url, NOW)
    chance = random.Random(seed)
    points = [str(chance.randint(1, FURTHEST)) for _ in range(ROUNDS)]
    command = [sys.executable, "-m", "tests.invoices.bill_until_killed", database_url, NOW.isoformat(), *points]
    found = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True, timeout=300)
    # three months of 24 customers do not fit into so few statements: nearly all of the children were killed
    assert int(found.stdout) >= ROUNDS // 2
    bill_all(database_url, NOW)
    assert list(documents(killed)) == list(documents(whole))
    with killed.snapshot() as session:
        numbers = list(session.scalars(select(Invoice.sequence_number).order_by(Invoice.sequence_number)))
        assert numbers == list(range(1, len(numbers) + 1))
        assert check_books(session) == []
        for invoice in session.scalars(select(Invoice)):
            assert all(finding.is_equal for finding in verify_invoice(session, invoice.id))
    whole.dispose()
    killed.dispose()
