"""End an issued invoice's life: void it, or note that it was paid outside of Stripe."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import update
from sqlalchemy.orm import Session

from tollkeeper.credits.draw import reverse_draws
from tollkeeper.errors import Conflict
from tollkeeper.invoices.announce import announce
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.tables import BilledPeriod, Invoice, InvoiceStatus


class AfterVoid(StrEnum):
    """What becomes of the charges of a voided invoice."""

    BILL_AGAIN = "bill_again"
    FORGIVE = "forgive"


def void_invoice(
    session: Session, invoice_id: str, *, then: AfterVoid = AfterVoid.BILL_AGAIN, now: datetime
) -> Invoice:
    """Void an unpaid issued invoice; its number stays taken and its content stays readable.

    Its charges go on the payer's next invoice, or are forgiven; the credit that was drawn for it is given back.
    A repeat changes nothing. Raises Conflict for a draft (discard it) and for one for which money was paid.
    """
    invoice = get_invoice(session, invoice_id, is_locked=True)
    if invoice.status == InvoiceStatus.VOID:
        return invoice
    if invoice.status == InvoiceStatus.DRAFT:
        raise Conflict(f"{invoice.id} is a draft; discard it instead")
    if invoice.amount_paid_minor:
        raise Conflict(f"invoice {invoice.number} is paid; correct it by a credit note")
    invoice.status = InvoiceStatus.VOID
    invoice.voided_at = now
    if then is AfterVoid.BILL_AGAIN:
        session.execute(update(BilledPeriod).where(BilledPeriod.invoice_id == invoice.id).values(invoice_id=None))
    session.flush()
    reverse_draws(session, invoice.id, now=now)
    announce(session, invoice, "voided", now=now)
    return invoice


def mark_paid(session: Session, invoice_id: str, *, now: datetime) -> Invoice:
    """Note that the whole invoice was paid; a repeat keeps the first instant. Raises Conflict for draft and void."""
    invoice = get_invoice(session, invoice_id, is_locked=True)
    if invoice.status in {InvoiceStatus.DRAFT, InvoiceStatus.VOID}:
        raise Conflict(f"invoice {invoice.number or invoice.id} is {invoice.status}; it cannot be paid")
    if invoice.status != InvoiceStatus.PAID:
        settle_payment(session, invoice, now=now)
    return invoice


def settle_payment(session: Session, invoice: Invoice, *, now: datetime) -> None:
    """Make a locked invoice paid in full."""
    invoice.status = InvoiceStatus.PAID
    invoice.paid_at = now
    invoice.amount_paid_minor = invoice.total_minor
    session.flush()
    announce(session, invoice, "paid", now=now)
