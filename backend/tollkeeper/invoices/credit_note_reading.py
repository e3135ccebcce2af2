"""Find credit notes, and what is left of an invoice after them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from tollkeeper.errors import NotFound
from tollkeeper.invoices.credit_note_amounts import Room
from tollkeeper.invoices.credit_note_tables import CreditNote, CreditNoteLine, CreditNoteStatus
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.tables import PREPAID_CREDIT, TAX, TOP_UP, Invoice, InvoiceLine


@dataclass(frozen=True, slots=True)
class Taken:
    """What credit notes took back of one line, before tax."""

    invoice_line_id: str
    amount_minor: int


def get_note(session: Session, id_or_number: str) -> CreditNote:
    """Return a credit note by id or number, as it is stored now; raises NotFound."""
    note = session.scalars(
        select(CreditNote)
        .where(or_(CreditNote.id == id_or_number, CreditNote.number == id_or_number))
        .execution_options(populate_existing=True)
    ).first()
    if note is None:
        raise NotFound(f"there is no credit note {id_or_number!r}")
    return note


def get_document(session: Session, id_or_number: str) -> Invoice | CreditNote:
    """Return the invoice or else the credit note of this id or number; raises NotFound."""
    for get in (get_invoice, get_note):
        try:
            return get(session, id_or_number)
        except NotFound:
            pass
    raise NotFound(f"there is no invoice or credit note {id_or_number!r}")


def list_notes(session: Session, invoice_id: str) -> Sequence[CreditNote]:
    """Return the credit notes of an invoice in the order of their numbers, the void ones too."""
    return session.scalars(
        select(CreditNote)
        .where(CreditNote.invoice_id == invoice_id)
        .order_by(CreditNote.legal_entity, CreditNote.sequence_number)
    ).all()


def list_all_notes(
    session: Session, *, customer_id: str | None = None, before: str | None = None, limit: int = 100
) -> Sequence[CreditNote]:
    """Return credit notes, newest first; `before` is the id of a page's last one."""
    query = select(CreditNote).order_by(CreditNote.id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(CreditNote.customer_id == customer_id)
    if before is not None:
        query = query.where(CreditNote.id < before)
    return session.scalars(query).all()


def list_of_lines(session: Session, note_id: str) -> Sequence[CreditNoteLine]:
    """Return a credit note's lines in order."""
    return session.scalars(
        select(CreditNoteLine).where(CreditNoteLine.credit_note_id == note_id).order_by(CreditNoteLine.position)
    ).all()


def taken_of(session: Session, invoice_id: str) -> dict[str, Taken]:
    """Return what the credit notes of an invoice took back, by line; what took back an amount of it names no line."""
    rows = session.execute(
        select(CreditNoteLine.invoice_line_id, func.sum(CreditNoteLine.amount_minor))
        .join(CreditNote, CreditNote.id == CreditNoteLine.credit_note_id)
        .where(
            CreditNote.invoice_id == invoice_id,
            CreditNote.status == CreditNoteStatus.ISSUED,
            CreditNoteLine.invoice_line_id.is_not(None),
        )
        .group_by(CreditNoteLine.invoice_line_id)
    )
    return {str(line_id): Taken(str(line_id), int(amount)) for line_id, amount in rows}


def room_of(session: Session, invoice: Invoice, lines: Sequence[InvoiceLine]) -> Room:
    """Return what may be taken back of an invoice: all but prepaid credit, which is a way of paying it, and top-ups.

    Tax that is inside of the prices is on a line of no amount; its proof says how much it is.
    """
    tax = sum(line.proof["tax_minor"] for line in lines if line.kind == TAX)
    net = sum(line.amount_minor for line in lines if line.kind not in (PREPAID_CREDIT, TOP_UP)) - tax
    net_credited, tax_credited = session.execute(
        select(
            func.coalesce(func.sum(CreditNote.net_minor), 0), func.coalesce(func.sum(CreditNote.tax_minor), 0)
        ).where(CreditNote.invoice_id == invoice.id, CreditNote.status == CreditNoteStatus.ISSUED)
    ).one()
    return Room(net, tax, int(net_credited), int(tax_credited))
