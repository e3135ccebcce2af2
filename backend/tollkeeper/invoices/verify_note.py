"""Recompute a credit note from its invoice and the credit notes before it, and say of each line: equal or not."""

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.credits.tables import CreditEntry, CreditGrant, CreditTransaction
from tollkeeper.invoices.credit_note_immutable import note_digest
from tollkeeper.invoices.credit_note_reading import get_note, list_notes, list_of_lines
from tollkeeper.invoices.credit_note_tables import CreditNote, CreditNoteLine
from tollkeeper.invoices.credit_note_taxes import Taxes, rooms_by_rate, take_amount, take_lines
from tollkeeper.invoices.credit_notes import grant_key
from tollkeeper.invoices.net import net_before_tax
from tollkeeper.invoices.reading import get_invoice, list_lines
from tollkeeper.invoices.tables import Invoice, InvoiceLine
from tollkeeper.invoices.verify import Finding, finding_of


def verify_credit_note(session: Session, id_or_number: str) -> list[Finding]:
    """Return a finding for the document, for each line, and for the credit that it gave; raises NotFound."""
    note = get_note(session, id_or_number)
    invoice = get_invoice(session, note.invoice_id)
    lines, invoice_lines = list_of_lines(session, note.id), list_lines(session, invoice.id)
    before = _counted_before(session, note)
    problems = [*_document_problems(note, lines), *_order_problems(session, note, before)]
    expected = _taxes(invoice_lines, before, note, lines)
    if note.proof["taxes"] != expected:
        problems.append(f"net and tax by rate are expected to be {expected}")
    findings = [finding_of(0, f"credit note {note.number} for {invoice.number}", note.total_minor, problems)]
    left = _left_of_lines(session, invoice_lines, before)
    known = {line.id: line for line in invoice_lines}
    for line in lines:
        problem = _line_problem(line, invoice, known, left)
        findings.append(finding_of(line.position, line.description, line.amount_minor, [problem] if problem else []))
    if note.credit_minor:
        findings.append(
            finding_of(len(lines) + 1, "Added to prepaid credit", note.credit_minor, [*_credit_problems(session, note)])
        )
    return findings


def _document_problems(note: CreditNote, lines: Sequence[CreditNoteLine]) -> Iterator[str]:
    if note_digest(note, lines) != note.content_digest:
        yield "the document is not what was issued: its digest differs"
    net, tax = (sum(one[name] for one in note.proof["taxes"]) for name in ("net_minor", "tax_minor"))
    if (net, tax) != (note.net_minor, note.tax_minor):
        yield f"by rate it comes to {net} and {tax} of tax, it says {note.net_minor} and {note.tax_minor}"
    if sum(line.amount_minor for line in lines) != note.net_minor:
        yield f"its lines do not add up to {note.net_minor}"


def _counted_before(session: Session, note: CreditNote) -> list[CreditNote]:
    return [one for one in list_notes(session, note.invoice_id) if one.number in note.proof["after"]]


def _order_problems(session: Session, note: CreditNote, before: Sequence[CreditNote]) -> Iterator[str]:
    """Say which credit notes did not count as they should have: the earlier ones do, unless they were void by then."""
    for one in list_notes(session, note.invoice_id):
        is_earlier = one.sequence_number < note.sequence_number
        if one in before:
            was_live = one.voided_at is None or one.voided_at >= note.issued_at
            if not (is_earlier and was_live):
                yield f"{one.number} counted before it, and should not have"
        elif is_earlier and (one.voided_at is None or one.voided_at > note.issued_at):
            yield f"{one.number} should have counted before it"


def _taxes(
    invoice_lines: Sequence[InvoiceLine],
    before: Sequence[CreditNote],
    note: CreditNote,
    lines: Sequence[CreditNoteLine],
) -> Taxes | str:
    rooms = rooms_by_rate(invoice_lines, [one.proof["taxes"] for one in before])
    amounts = {line.invoice_line_id: line.amount_minor for line in lines if line.invoice_line_id is not None}
    try:
        return take_lines(rooms, amounts) if amounts else take_amount(rooms, note.total_minor)
    except ValueError as error:
        return str(error)


def _left_of_lines(
    session: Session, invoice_lines: Sequence[InvoiceLine], before: Sequence[CreditNote]
) -> dict[str, int]:
    left = net_before_tax(invoice_lines)
    for one in before:
        for line in list_of_lines(session, one.id):
            if line.invoice_line_id in left:
                left[line.invoice_line_id] -= line.amount_minor
    return left


def _line_problem(line: CreditNoteLine, invoice: Invoice, known: dict[str, InvoiceLine], left: dict[str, int]) -> str:
    if line.invoice_line_id is None:
        return "" if line.description == f"Part of invoice {invoice.number}" else "it is about another invoice"
    if line.invoice_line_id not in left:
        return "it is about no charge of the invoice"
    if line.description != known[line.invoice_line_id].description:
        return "the invoice's line says otherwise"
    most = left[line.invoice_line_id]
    return "" if line.amount_minor <= most else f"coupons and earlier credit notes left {most} of the line"


def _credit_problems(session: Session, note: CreditNote) -> Iterator[str]:
    granted = session.scalar(
        select(func.sum(CreditEntry.amount_minor))
        .join(CreditTransaction, CreditTransaction.id == CreditEntry.transaction_id)
        .join(CreditGrant, CreditTransaction.key == "grant:" + CreditGrant.id)
        .where(CreditGrant.key == grant_key(note.id), CreditEntry.account_id == "grant:" + CreditGrant.id)
    )
    if granted != note.credit_minor:
        yield f"the ledger has {granted or 0} granted for it"
