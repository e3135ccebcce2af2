"""Turn an issued invoice into what Stripe is told: amounts in Stripe's units, at most 250 lines, our ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.tables import Invoice, InvoiceLine
from tollkeeper.payments.exponents import minimum_charge, to_stripe_amount

MOST_LINES = 250
MOST_LINES_A_CALL = 100
MOST_DESCRIPTION_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A line for Stripe; `ids` is our line's id, or says how many lines it sums up."""

    amount: int
    description: str
    start: datetime
    end: datetime
    ids: str

    def as_parameters(self) -> dict[str, Any]:
        """Return the parameters of one line of `add_lines`."""
        return {
            "amount": self.amount,
            "description": self.description[:MOST_DESCRIPTION_CHARACTERS],
            "period": {"start": int(self.start.timestamp()), "end": int(self.end.timestamp())},
            "metadata": {"tollkeeper_line": self.ids},
        }


@dataclass(frozen=True, slots=True)
class Statement:
    """One issued invoice as Stripe shall hold it."""

    invoice_id: str
    number: str
    customer_id: str
    customer: dict[str, Any]
    currency: str
    days_until_due: int
    total: int
    lines: tuple[StatementLine, ...]

    @property
    def chunks(self) -> list[tuple[StatementLine, ...]]:
        """Return the lines in groups that one call takes."""
        return [self.lines[first : first + MOST_LINES_A_CALL] for first in range(0, len(self.lines), MOST_LINES_A_CALL)]

    @property
    def is_below_minimum(self) -> bool:
        """Tell whether Stripe would not charge it but carry it on its own customer balance."""
        return self.total < minimum_charge(self.currency)


def read_statement(session: Session, invoice: Invoice) -> Statement:
    """Return what Stripe is told; raises InvalidInput if the currency or an amount cannot be said to Stripe."""
    assert invoice.number is not None
    assert invoice.issued_at is not None
    assert invoice.due_at is not None
    rows = session.scalars(
        select(InvoiceLine).where(InvoiceLine.invoice_id == invoice.id).order_by(InvoiceLine.position)
    ).all()
    customer = session.get_one(Customer, invoice.customer_id)
    return Statement(
        invoice_id=invoice.id,
        number=invoice.number,
        customer_id=customer.id,
        customer=_customer_parameters(customer),
        currency=invoice.currency,
        days_until_due=max((invoice.due_at - invoice.issued_at).days, 0),
        total=to_stripe_amount(invoice.total_minor, invoice.currency),
        lines=tuple(_fit([_line(row, invoice.currency) for row in rows], rows)),
    )


def _customer_parameters(customer: Customer) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": customer.name,
        "metadata": {"tollkeeper_customer_id": customer.id, "tollkeeper_customer_key": customer.key},
    }
    if customer.email:
        told["email"] = customer.email
    known = ("line1", "line2", "city", "state", "postal_code", "country")
    address = {name: value for name in known if (value := (customer.address or {}).get(name))}
    if address:
        told["address"] = address
    return told


def _line(row: InvoiceLine, currency: str) -> StatementLine:
    return StatementLine(
        amount=to_stripe_amount(row.amount_minor, currency),
        description=_describe(row),
        start=row.period_start,
        end=row.period_end,
        ids=row.id,
    )


def _describe(row: InvoiceLine) -> str:
    if row.unit_price is None:
        return row.description
    return f"{row.description} ({format(row.quantity.normalize(), 'f')} x {format(row.unit_price.normalize(), 'f')})"


def _fit(lines: Sequence[StatementLine], rows: Sequence[InvoiceLine]) -> Sequence[StatementLine]:
    """Sum lines up until Stripe takes them: by rate card of a subscription, then by customer, then all in one."""
    if len(lines) <= MOST_LINES:
        return lines
    for columns in (("customer_id", "subscription_id", "rate_card_key"), ("customer_id",), ()):
        order = sorted(range(len(rows)), key=lambda index: _group_of(rows[index], columns))
        groups = [list(group) for _, group in groupby(order, key=lambda index: _group_of(rows[index], columns))]
        if len(groups) <= MOST_LINES:
            return [_sum_up([lines[index] for index in group], rows[group[0]], columns) for group in groups]
    raise AssertionError("a single group is always within the limit")


def _group_of(row: InvoiceLine, columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(getattr(row, column)) for column in columns)


def _sum_up(lines: Sequence[StatementLine], row: InvoiceLine, columns: Sequence[str]) -> StatementLine:
    if len(lines) == 1:
        return lines[0]
    about = (row.rate_card_key or "credit, coupons and tax") if len(columns) > 1 else "usage, fees and credit"
    return StatementLine(
        amount=sum(line.amount for line in lines),
        description=f"{about}: {len(lines)} lines of our statement",
        start=min(line.start for line in lines),
        end=max(line.end for line in lines),
        ids=f"sum of {len(lines)} from {lines[0].ids}",
    )
