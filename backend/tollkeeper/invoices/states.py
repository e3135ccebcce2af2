"""The states of an invoice: which may follow which, and the one place that moves it and writes down who did."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict
from tollkeeper.invoices.payment_tables import InvoiceAct, InvoiceActKind
from tollkeeper.invoices.tables import Invoice, InvoiceStatus

# Money may still come; overdue wins over partly paid, and says so by its amounts.
OPEN_STATUSES = frozenset({InvoiceStatus.ISSUED, InvoiceStatus.PARTLY_PAID, InvoiceStatus.OVERDUE})
MAY_BE_PAID = OPEN_STATUSES | {InvoiceStatus.UNCOLLECTIBLE}
_ENDS = frozenset({InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.VOID})
MAY_BECOME: dict[InvoiceStatus, frozenset[InvoiceStatus]] = {
    InvoiceStatus.DRAFT: frozenset({InvoiceStatus.ISSUED}),
    InvoiceStatus.ISSUED: _ENDS | {InvoiceStatus.PARTLY_PAID, InvoiceStatus.OVERDUE},
    InvoiceStatus.PARTLY_PAID: frozenset({InvoiceStatus.PAID, InvoiceStatus.OVERDUE, InvoiceStatus.UNCOLLECTIBLE}),
    InvoiceStatus.OVERDUE: _ENDS,
    InvoiceStatus.UNCOLLECTIBLE: frozenset({InvoiceStatus.PAID, InvoiceStatus.VOID}),
    # paid by prepaid credit alone, which goes back to its grants: no money was taken
    InvoiceStatus.PAID: frozenset({InvoiceStatus.VOID}),
    InvoiceStatus.VOID: frozenset(),
}


def amount_due(invoice: Invoice) -> int:
    """Return what is still to be paid, in minor units: the total less payments and what credit notes took off."""
    return invoice.total_minor - invoice.amount_paid_minor - invoice.amount_credited_minor


@dataclass(frozen=True, slots=True)
class Deed:
    """What is done, who does it and when, and what else there is to say of it."""

    kind: InvoiceActKind
    by: str
    now: datetime
    note: str = ""


def move(session: Session, invoice: Invoice, to: InvoiceStatus, deed: Deed) -> None:
    """Bring a locked invoice into a state and write the act down; raises Conflict if the table has no such way.

    An act that leaves the state as it is (a second payment of three) is written down, too.
    """
    before = InvoiceStatus(invoice.status)
    if to is not before and to not in MAY_BECOME[before]:
        raise Conflict(f"invoice {invoice.number or invoice.id} is {before}; it cannot become {to}")
    invoice.status = to
    invoice.act_count += 1
    session.add(
        InvoiceAct(
            invoice_id=invoice.id,
            position=invoice.act_count,
            kind=deed.kind,
            from_status=before,
            to_status=to,
            happened_at=deed.now,
            by=deed.by,
            note=deed.note,
        )
    )


def list_acts(session: Session, invoice_id: str) -> Sequence[InvoiceAct]:
    """Return what was done to an invoice, oldest first."""
    return session.scalars(
        select(InvoiceAct).where(InvoiceAct.invoice_id == invoice_id).order_by(InvoiceAct.position)
    ).all()
