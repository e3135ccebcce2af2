"""What must hold between invoices, their credit notes and the ledger of credit."""

from collections.abc import Callable, Iterator

from sqlalchemy import case, func, literal, or_, select
from sqlalchemy.orm import Session

from tollkeeper.credits.tables import CreditGrant
from tollkeeper.invoices.credit_note_immutable import note_digest
from tollkeeper.invoices.credit_note_reading import list_of_lines, taken_of
from tollkeeper.invoices.credit_note_tables import CreditNote, CreditNoteLine, CreditNoteStatus
from tollkeeper.invoices.net import net_before_tax
from tollkeeper.invoices.reading import list_lines
from tollkeeper.invoices.tables import PREPAID_CREDIT, Invoice, InvoiceLine, LegalEntity

IS_LIVE = CreditNote.status == CreditNoteStatus.ISSUED


def notes_never_exceed_their_invoice(session: Session) -> Iterator[str]:
    """Yield each invoice of which more is taken back than it had, or more than was paid is sent back."""
    back = CreditNote.refund_minor + CreditNote.out_of_band_minor + CreditNote.credit_minor - CreditNote.prepaid_minor
    notes = (
        select(
            CreditNote.invoice_id,
            func.sum(CreditNote.total_minor).label("total"),
            func.sum(CreditNote.reduction_minor).label("reduction"),
            func.sum(CreditNote.prepaid_minor).label("prepaid"),
            func.sum(back).label("back"),
        )
        .where(IS_LIVE)
        .group_by(CreditNote.invoice_id)
        .subquery()
    )
    drawn = (
        select(InvoiceLine.invoice_id, (-func.sum(InvoiceLine.amount_minor)).label("minor"))
        .where(InvoiceLine.kind == PREPAID_CREDIT)
        .group_by(InvoiceLine.invoice_id)
        .subquery()
    )
    prepaid = func.coalesce(drawn.c.minor, 0)
    rows = session.execute(
        select(Invoice.number, Invoice.total_minor, prepaid, Invoice.amount_paid_minor, notes.c.total, notes.c.back)
        .join(notes, notes.c.invoice_id == Invoice.id)
        .outerjoin(drawn, drawn.c.invoice_id == Invoice.id)
        .where(
            or_(
                notes.c.total > Invoice.total_minor + prepaid,
                notes.c.prepaid > prepaid,
                notes.c.back > Invoice.amount_paid_minor,
                notes.c.reduction != Invoice.amount_credited_minor,
            )
        )
    )
    for number, total, credit, paid, taken, sent in rows:
        yield (
            f"{number}: its credit notes take {taken} back of {total} and {credit} of prepaid credit, "
            f"and send {sent} back of {paid} that was paid"
        )


def lines_are_taken_back_once(session: Session) -> Iterator[str]:
    """Yield each line of an invoice of which credit notes take back more than coupons left of it."""
    by_line = (
        select(CreditNote.invoice_id)
        .join(CreditNoteLine, CreditNoteLine.credit_note_id == CreditNote.id)
        .where(IS_LIVE, CreditNoteLine.invoice_line_id.is_not(None))
        .distinct()
    )
    for invoice_id in session.scalars(by_line).all():
        net = net_before_tax(list_lines(session, invoice_id))
        for line_id, taken in taken_of(session, invoice_id).items():
            if taken.amount_minor > net[line_id]:
                yield f"line {line_id}: comes to {net[line_id]}, credit notes take {taken.amount_minor} back"


def notes_add_up(session: Session) -> Iterator[str]:
    """Yield each credit note whose lines are not its net."""
    net = func.coalesce(func.sum(CreditNoteLine.amount_minor), 0)
    rows = session.execute(
        select(CreditNote.number, CreditNote.net_minor, net)
        .outerjoin(CreditNoteLine, CreditNoteLine.credit_note_id == CreditNote.id)
        .group_by(CreditNote.id, CreditNote.number, CreditNote.net_minor)
        .having(net != CreditNote.net_minor)
    )
    for number, said, added in rows:
        yield f"{number}: the lines add up to {added}, it says {said} before tax"


def note_numbers_have_no_gap(session: Session) -> Iterator[str]:
    """Yield each legal entity whose numbers of credit notes have a gap."""
    highest = func.coalesce(func.max(CreditNote.sequence_number), 0)
    rows = session.execute(
        select(LegalEntity.key, LegalEntity.last_credit_note, func.count(CreditNote.id), highest)
        .outerjoin(CreditNote, CreditNote.legal_entity == LegalEntity.key)
        .group_by(LegalEntity.key, LegalEntity.last_credit_note)
    )
    for key, last, count, most in rows:
        if not last == count == most:
            yield f"legal entity {key}: {last} numbers of credit notes were given out, {count} are there, up to {most}"


def notes_are_unchanged(session: Session) -> Iterator[str]:
    """Yield each credit note that is not what was issued."""
    for note in session.scalars(select(CreditNote).order_by(CreditNote.id).execution_options(yield_per=500)):
        if note_digest(note, list_of_lines(session, note.id)) != note.content_digest:
            yield f"{note.number}: is not what was issued, its digest differs"


def credit_of_notes_was_granted(session: Session) -> Iterator[str]:
    """Yield each credit note whose credit is not in the ledger as it says, and each grant of a note that is not."""
    granted = func.coalesce(CreditGrant.amount_minor, 0)
    given = case((IS_LIVE, CreditNote.credit_minor), else_=0)
    rows = session.execute(
        select(CreditNote.number, given, granted)
        .outerjoin(CreditGrant, CreditGrant.key == literal("credit_note:") + CreditNote.id)
        .where(given != granted)
    )
    for number, said, amount in rows:
        yield f"{number}: gave {said} of credit, {amount} was granted for it"


NOTE_CHECKS: tuple[Callable[[Session], Iterator[str]], ...] = (
    notes_never_exceed_their_invoice,
    lines_are_taken_back_once,
    notes_add_up,
    note_numbers_have_no_gap,
    notes_are_unchanged,
    credit_of_notes_was_granted,
)
