"""End an issued invoice's life before anything was paid: void it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import update
from sqlalchemy.orm import Session

from tollkeeper.coupons.uses import release_uses
from tollkeeper.credits.draw import reverse_draws
from tollkeeper.errors import Conflict
from tollkeeper.invoices.announce import announce
from tollkeeper.invoices.credit_note_reading import list_notes
from tollkeeper.invoices.credit_note_tables import CreditNoteStatus
from tollkeeper.invoices.payment_tables import InvoiceActKind
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.states import Deed, move
from tollkeeper.invoices.tables import BilledPeriod, Invoice, InvoiceStatus


class AfterVoid(StrEnum):
    """What becomes of the charges of a voided invoice."""

    BILL_AGAIN = "bill_again"
    FORGIVE = "forgive"


def void_invoice(
    session: Session, invoice_id: str, *, then: AfterVoid = AfterVoid.BILL_AGAIN, by: str = "system", now: datetime
) -> Invoice:
    """Void an issued invoice of which nothing was paid; its number stays taken and its content stays readable.

    Its charges go on the payer's next invoice, or are forgiven; the credit that was drawn
    for it and the uses of coupons are given back.
    A repeat changes nothing. Raises Conflict for a draft (discard it) and for one for which money was paid.
    """
    invoice = get_invoice(session, invoice_id, is_locked=True)
    if invoice.status == InvoiceStatus.VOID:
        return invoice
    if invoice.status == InvoiceStatus.DRAFT:
        raise Conflict(f"{invoice.id} is a draft; discard it instead")
    if invoice.amount_paid_minor:
        raise Conflict(f"invoice {invoice.number} is paid, at least in part; correct it by a credit note")
    if any(note.status == CreditNoteStatus.ISSUED for note in list_notes(session, invoice.id)):
        raise Conflict(f"invoice {invoice.number} has credit notes; void them first")
    move(session, invoice, InvoiceStatus.VOID, Deed(InvoiceActKind.VOIDED, by, now, then))
    invoice.voided_at = now
    if then is AfterVoid.BILL_AGAIN:
        session.execute(update(BilledPeriod).where(BilledPeriod.invoice_id == invoice.id).values(invoice_id=None))
    session.flush()
    reverse_draws(session, invoice.id, now=now)
    release_uses(session, invoice.id, now=now)
    announce(session, invoice, "voided", now=now)
    return invoice
