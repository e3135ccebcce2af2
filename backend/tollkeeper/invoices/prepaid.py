"""Prepaid credit on invoices: lines that take off what the payer paid before or was given.

Credit is drawn when an invoice is issued, in the transaction that issues it, from the payer's grants and up to
what is due. The ledger knows the draws under the invoice's id, so the lines can be proved by it.

A legal entity that charges tax says which kinds of credit are drawn before it (`credit_before_tax`): those lessen what
is taxed, so each such line says what it took off which charge. The others pay the total with tax.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from tollkeeper.credits.draw import INVOICES, Draw, Stage, Wanted, draw_credit_for, list_draws, plan_draws
from tollkeeper.credits.tables import CreditEntry, CreditTransaction, GrantKind
from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.net import charges_of, net_of_lines, parts_by_line, proof_with_shares, shares_of_parts
from tollkeeper.invoices.tables import (
    PREPAID_CREDIT,
    CreditBeforeTax,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LegalEntity,
    TaxMode,
)
from tollkeeper.rating.coupons import draw_credit

DRAWN_BEFORE_TAX: Mapping[str, frozenset[str]] = {
    CreditBeforeTax.NONE: frozenset(),
    CreditBeforeTax.PROMOTIONAL: frozenset({GrantKind.PROMOTIONAL}),
    CreditBeforeTax.ALL: frozenset(GrantKind),
}


def foresee_draws_before_tax(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Return the lines of what would be drawn before tax if the bill were issued now."""
    wanted = _wanted_before_tax(session, bill)
    return _lines(bill, plan_draws(session, wanted, at=bill.now)) if wanted.kinds else []


def draw_before_tax(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Draw the credit that comes before tax for a bill that is being issued, and return the lines for it."""
    wanted = _wanted_before_tax(session, bill)
    if not wanted.kinds:
        return []
    return _lines(bill, draw_credit_for(session, wanted, reference=bill.invoice.id, now=bill.now))


def _wanted_before_tax(session: Session, bill: Bill) -> Wanted:
    entity = session.get(LegalEntity, bill.invoice.legal_entity)
    charges_tax = entity is not None and entity.tax_mode != TaxMode.NONE
    kinds = DRAWN_BEFORE_TAX[entity.credit_before_tax] if entity is not None and charges_tax else frozenset()
    return Wanted(bill.payer.id, bill.invoice.currency, bill.total_minor, Stage.BEFORE_TAX, kinds)


def foresee_draws_after_tax(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Return the lines of what would be drawn if the bill were issued now."""
    drawn: dict[str, int] = {}
    for line in bill.lines:
        if line.kind == PREPAID_CREDIT:
            drawn[line.proof["grant"]] = drawn.get(line.proof["grant"], 0) - line.amount_minor
    wanted = Wanted(bill.payer.id, bill.invoice.currency, bill.total_minor)
    return _lines(bill, plan_draws(session, wanted, at=bill.now, drawn=drawn))


def draw_after_tax(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Draw the payer's credit for a bill that is being issued, and return the lines for it."""
    wanted = Wanted(bill.payer.id, bill.invoice.currency, bill.total_minor)
    return _lines(bill, draw_credit_for(session, wanted, reference=bill.invoice.id, now=bill.now))


def _lines(bill: Bill, draws: Iterable[Draw]) -> list[InvoiceLine]:
    lines: list[InvoiceLine] = []
    for draw in draws:
        worded = word_draw(draw)
        proof = _proof(draw, bill.payer.id, [*bill.lines, *lines])
        lines.append(bill.line(PREPAID_CREDIT, worded.description, worded.amount_minor, proof))
    return lines


def _proof(draw: Draw, payer_id: str, before: Sequence[InvoiceLine]) -> dict[str, Any]:
    """Return what proves a draw's line; drawn before tax, also what it takes off which of the lines before it."""
    proof: dict[str, Any] = {"grant": draw.grant_id, "transaction": draw.transaction_id}
    if draw.stage is Stage.AFTER_TAX:
        return proof
    net, charges = net_of_lines(before), charges_of(before)
    [amounts] = draw_credit([net[line.id] for line in charges], [draw.amount_minor])
    parts = parts_by_line(charges, amounts)
    return proof_with_shares({**proof, "parts": parts}, shares_of_parts(payer_id, before, parts))


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
        if place >= len(draws):
            yield line, "the ledger has no such draw"
            continue
        before = [one for one in lines if one.position < line.position]
        problem = _difference(line, draws[place], invoice, before) or _stage_problem(draws[place], invoice, before)
        yield line, missing or problem


def _difference(line: InvoiceLine, draw: Draw, invoice: Invoice, before: Sequence[InvoiceLine]) -> str:
    worded = word_draw(draw)
    if (line.amount_minor, line.description) != (worded.amount_minor, worded.description):
        return f"the ledger has {draw.amount_minor} drawn from {draw.grant_id}"
    proof = _proof(draw, invoice.customer_id, before)
    return "" if line.proof == proof else "its grant, its transaction or what it took off which line is another"


def _stage_problem(draw: Draw, invoice: Invoice, before: Sequence[InvoiceLine]) -> str:
    """Say why a draw was not to be at its stage by what the seller has set."""
    is_first = draw.grant_kind in DRAWN_BEFORE_TAX[invoice.seller.get("credit_before_tax", CreditBeforeTax.NONE)]
    if draw.stage is Stage.BEFORE_TAX:
        return "" if is_first else f"{draw.grant_kind} credit is not drawn before tax"
    is_too_late = is_first and sum(net_of_lines(before).values()) > 0
    return f"{draw.grant_kind} credit is drawn before tax" if is_too_late else ""


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
