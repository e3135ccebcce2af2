"""Prepaid credit on invoices: lines that take off what the payer paid before or was given.

Credit is drawn when an invoice is issued, in the transaction that issues it, from the payer's grants and up to
what is due. The ledger knows the draws under the invoice's id, so the lines can be proved by it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from tollkeeper.credits.draw import INVOICES, Draw, draw_credit_for, list_draws, plan_draws
from tollkeeper.credits.tables import CreditEntry, CreditTransaction
from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.tables import PREPAID_CREDIT, Invoice, InvoiceLine, InvoiceStatus


def foresee_draws_after_tax(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Return the lines of what would be drawn if the bill were issued now."""
    invoice = bill.invoice
    return [
        _line(bill, draw)
        for draw in plan_draws(session, bill.payer.id, invoice.currency, bill.total_minor, at=bill.now)
    ]


def draw_after_tax(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Draw the payer's credit for a bill that is being issued, and return the lines for it."""
    invoice = bill.invoice
    draws = draw_credit_for(
        session, invoice.customer_id, invoice.currency, bill.total_minor, reference=invoice.id, now=bill.now
    )
    return [_line(bill, draw) for draw in draws]


def _line(bill: Bill, draw: Draw) -> InvoiceLine:
    worded = word_draw(draw)
    proof = {"grant": draw.grant_id, "transaction": draw.transaction_id}
    return bill.line(PREPAID_CREDIT, worded.description, worded.amount_minor, proof)


@dataclass(frozen=True, slots=True)
class WordedDraw:
    """What the line of a draw says."""

    description: str
    amount_minor: int


def word_draw(draw: Draw) -> WordedDraw:
    """Return what the line of a draw says."""
    return WordedDraw(f"Prepaid credit: {draw.grant_name}", -draw.amount_minor)


def check_draws(session: Session, invoice: Invoice, lines: Sequence[InvoiceLine]) -> Iterator[tuple[InvoiceLine, str]]:
    """Yield each credit line of an issued invoice with what is wrong with it by the ledger, or an empty text."""
    draws = list_draws(session, invoice.id)
    shown = [line for line in lines if line.kind == PREPAID_CREDIT]
    missing = "" if len(draws) == len(shown) else f"the ledger has {len(draws)} draws, the invoice {len(shown)} lines"
    for place, line in enumerate(shown):
        draw = draws[place] if place < len(draws) else None
        yield line, missing or _difference(line, draw)


def _difference(line: InvoiceLine, draw: Draw | None) -> str:
    if draw is None:
        return "the ledger has no such draw"
    said = (line.amount_minor, line.proof.get("grant"), line.proof.get("transaction"), line.description)
    worded = word_draw(draw)
    if said == (worded.amount_minor, draw.grant_id, draw.transaction_id, worded.description):
        return ""
    return f"the ledger has {draw.amount_minor} drawn from {draw.grant_id}"


def lines_are_in_the_ledger(session: Session) -> Iterator[str]:
    """Yield each invoice whose credit lines are not what the ledger has drawn for it and not given back."""
    shown = (
        select(InvoiceLine.invoice_id, (-func.sum(InvoiceLine.amount_minor)).label("minor"))
        .where(InvoiceLine.kind == PREPAID_CREDIT)
        .group_by(InvoiceLine.invoice_id)
        .subquery()
    )
    drawn = (
        select(CreditTransaction.reference, func.sum(CreditEntry.amount_minor).label("minor"))
        .join(CreditEntry, CreditEntry.transaction_id == CreditTransaction.id)
        .where(CreditEntry.account_id.startswith(f"{INVOICES}:"))
        .group_by(CreditTransaction.reference)
        .subquery()
    )
    on_lines, in_ledger = func.coalesce(shown.c.minor, 0), func.coalesce(drawn.c.minor, 0)
    is_live = Invoice.status != InvoiceStatus.VOID
    wrong = session.execute(
        select(func.coalesce(Invoice.number, Invoice.id, drawn.c.reference), on_lines, in_ledger)
        .select_from(drawn)
        .outerjoin(Invoice, Invoice.id == drawn.c.reference)
        .outerjoin(shown, shown.c.invoice_id == drawn.c.reference)
        .where(or_(Invoice.id.is_(None), and_(is_live, on_lines != in_ledger), and_(~is_live, in_ledger != 0)))
    ).all()
    lost = session.execute(
        select(func.coalesce(Invoice.number, Invoice.id), on_lines, in_ledger)
        .join(shown, shown.c.invoice_id == Invoice.id)
        .outerjoin(drawn, drawn.c.reference == Invoice.id)
        .where(drawn.c.reference.is_(None))
    ).all()
    for name, credited, moved in [*wrong, *lost]:
        yield f"{name}: credit of {credited} on its lines, {moved} drawn for it in the ledger"
