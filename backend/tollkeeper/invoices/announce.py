"""Tell the outside what became of an invoice: `invoice.issued`, `invoice.voided`, `invoice.paid` (docs/api.md)."""

from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.invoices.credit_note_tables import CreditNote
from tollkeeper.invoices.tables import Invoice
from tollkeeper.money import format_minor
from tollkeeper.notifications.enqueue import enqueue


def announce(session: Session, invoice: Invoice, what: str, *, now: datetime) -> None:
    """Put `invoice.<what>` into the outbox, in the transaction that makes it true; once per invoice and kind."""
    told = {
        "invoice_id": invoice.id,
        "number": invoice.number,
        "customer_id": invoice.customer_id,
        "currency": invoice.currency,
        "total": format_minor(invoice.total_minor, invoice.currency),
        "status": invoice.status,
    }
    enqueue(session, f"invoice.{what}", told, key=f"invoice.{what}:{invoice.id}", now=now)


def announce_note(session: Session, note: CreditNote, what: str, *, now: datetime) -> None:
    """Put `credit_note.<what>` into the outbox, in the transaction that makes it true; once per note and kind."""
    told = {
        "credit_note_id": note.id,
        "number": note.number,
        "invoice_id": note.invoice_id,
        "customer_id": note.customer_id,
        "currency": note.currency,
        "total": format_minor(note.total_minor, note.currency),
        "status": note.status,
    }
    enqueue(session, f"credit_note.{what}", told, key=f"credit_note.{what}:{note.id}", now=now)
