"""Find invoices and their lines; add lines up by customer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Customer
from tollkeeper.errors import NotFound
from tollkeeper.invoices.tables import Invoice, InvoiceLine


@dataclass(frozen=True, slots=True)
class Subtotal:
    """What one customer of the payer's family adds to an invoice."""

    customer_id: str
    customer_key: str
    customer_name: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class LineShare:
    """One customer's part of a line: what it used of the whole charge, and what of the amount is for it."""

    customer: Customer
    quantity: Decimal
    amount_minor: int


def get_invoice(session: Session, id_or_number: str, *, is_locked: bool = False) -> Invoice:
    """Return an invoice by id or number, locked for a change if asked; raises NotFound."""
    query = select(Invoice).where(or_(Invoice.id == id_or_number, Invoice.number == id_or_number))
    if is_locked:
        query = query.with_for_update().execution_options(populate_existing=True)
    invoice = session.scalars(query).first()
    if invoice is None:
        raise NotFound(f"there is no invoice {id_or_number!r}")
    return invoice


def list_invoices(
    session: Session,
    *,
    customer_id: str | None = None,
    status: str | None = None,
    before: str | None = None,
    limit: int = 100,
) -> Sequence[Invoice]:
    """Return invoices, newest first, of one payer or of one status; `before` is the id of a page's last one."""
    query = select(Invoice).order_by(Invoice.id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(Invoice.customer_id == customer_id)
    if status is not None:
        query = query.where(Invoice.status == status)
    if before is not None:
        query = query.where(Invoice.id < before)
    return session.scalars(query).all()


def list_lines(session: Session, invoice_id: str) -> Sequence[InvoiceLine]:
    """Return an invoice's lines in order."""
    return session.scalars(
        select(InvoiceLine).where(InvoiceLine.invoice_id == invoice_id).order_by(InvoiceLine.position)
    ).all()


def members_on(session: Session, lines: Sequence[InvoiceLine]) -> dict[str, Customer]:
    """Return the customers of the lines and of their shares by id, in the order of the lines."""
    ids = dict.fromkeys(customer_id for line in lines for customer_id in (line.customer_id, *dict(parts_of(line))))
    found = {row.id: row for row in session.scalars(select(Customer).where(Customer.id.in_(ids)))}
    return {customer_id: found[customer_id] for customer_id in ids}


def shares_of(line: InvoiceLine, members: Mapping[str, Customer]) -> list[LineShare]:
    """Return who used a line, where that is not its customer alone."""
    return [
        LineShare(members[share["customer"]], Decimal(share["quantity"]), share["amount_minor"])
        for share in line.proof.get("shares", ())
    ]


def subtotals_of(session: Session, lines: Sequence[InvoiceLine]) -> list[Subtotal]:
    """Return what each customer of the family adds, in the order of the lines; they add up to the lines' sum.

    A line that several used counts for each of them with its share.
    """
    amounts: dict[str, int] = {}
    for line in lines:
        for customer_id, amount in parts_of(line):
            amounts[customer_id] = amounts.get(customer_id, 0) + amount
    members = members_on(session, lines)
    return [
        Subtotal(customer_id, members[customer_id].key, members[customer_id].name, amount)
        for customer_id, amount in amounts.items()
    ]


def parts_of(line: InvoiceLine) -> list[tuple[str, int]]:
    """Return whose the amount of a line is: its customer's alone, or that of those who share it."""
    shares = line.proof.get("shares") or [{"customer": line.customer_id, "amount_minor": line.amount_minor}]
    return [(share["customer"], share["amount_minor"]) for share in shares]
