"""What Stripe is told of a long invoice: at most 250 lines, the same total."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tollkeeper.invoices.tables import InvoiceLine
from tollkeeper.payments.statement import Statement, StatementLine, _fit, _line

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def rows(count: int, *, customers: int, cards: int) -> list[InvoiceLine]:
    return [
        InvoiceLine(
            id=f"line_{n:04}",
            customer_id=f"cus_{n % customers}",
            subscription_id=f"sub_{n % customers}",
            rate_card_key=f"card{n % cards}",
            kind="usage",
            description=f"line {n}",
            quantity=Decimal("1.50"),
            unit_price=Decimal("0.0100"),
            amount_minor=n,
            period_start=START,
            period_end=END,
        )
        for n in range(count)
    ]


def told(lines: list[InvoiceLine]) -> list[StatementLine]:
    return list(_fit([_line(row, "EUR") for row in lines], lines))


def test_quantity_and_price_stand_in_the_description() -> None:
    [line] = told(rows(1, customers=1, cards=1))
    assert line.description == "line 0 (1.5 x 0.01)"
    assert line.as_parameters()["period"] == {"start": 1767225600, "end": 1769904000}


@pytest.mark.parametrize(
    ("count", "customers", "cards", "lines"),
    [(250, 1, 1, 250), (251, 1, 5, 5), (600, 300, 1, 1), (600, 100, 600, 100), (3000, 10, 20, 20)],
)
def test_more_than_250_lines_are_summed_up_to_the_same_total(
    count: int, customers: int, cards: int, lines: int
) -> None:
    given = rows(count, customers=customers, cards=cards)
    summed = told(given)
    assert len(summed) == lines
    assert sum(line.amount for line in summed) == sum(range(count))


def test_lines_go_out_by_the_hundred() -> None:
    lines = told(rows(250, customers=1, cards=1))
    statement = Statement("inv_1", "INV-000001", "cus_1", {}, "EUR", 30, 31125, tuple(lines))
    assert [len(chunk) for chunk in statement.chunks] == [100, 100, 50]
