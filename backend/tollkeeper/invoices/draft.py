"""Draft a payer's invoice from the charges that wait for one: its own and those of whom it pays for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.catalog.versions import spec_of
from tollkeeper.customers.customers import family_of
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict
from tollkeeper.invoices.numbers import ensure_legal_entity
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.tables import (
    DEFAULT_LEGAL_ENTITY,
    BilledPeriod,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
)
from tollkeeper.invoices.wording import WordedLine, is_worth_a_line, word_lines
from tollkeeper.storage.ids import new_id


def draft_invoice(session: Session, payer: Customer, *, now: datetime) -> Invoice | None:
    """Put every waiting charge of the payer's family on a new draft; None if they come to nothing or less.

    The caller has locked the payer, so that nobody else drafts from the same charges. Raises Conflict for a
    charge in another currency than the payer's, whose currency was changed or who is another one now.
    A credit that is greater than what is due goes on waiting, and is taken off the next invoice.
    """
    family = family_of(session, payer.id)
    rows = waiting_rows(session, [member.id for member in family])
    foreign = next((row for row in rows if row.currency != payer.currency), None)
    if foreign is not None:
        raise Conflict(f"{payer.key!r} is billed in {payer.currency}, but a charge of {foreign.currency} waits for it")
    if sum(row.amount_minor for row in rows) <= 0:
        return None
    ensure_legal_entity(session, DEFAULT_LEGAL_ENTITY)
    invoice = new_invoice(payer, rows, now=now)
    session.add(invoice)
    session.flush()
    session.add_all(lines_of(session, invoice, sort_rows(rows, family)))
    for row in rows:
        row.invoice_id = invoice.id
    session.flush()
    return invoice


def discard_draft(session: Session, invoice_id: str) -> None:
    """Delete a draft; its charges wait for the next one. Raises Conflict for an issued invoice."""
    invoice = get_invoice(session, invoice_id, is_locked=True)
    if invoice.status != InvoiceStatus.DRAFT:
        raise Conflict(f"invoice {invoice.number} is issued; void it instead")
    session.execute(update(BilledPeriod).where(BilledPeriod.invoice_id == invoice.id).values(invoice_id=None))
    session.execute(delete(InvoiceLine).where(InvoiceLine.invoice_id == invoice.id))
    session.delete(invoice)
    session.flush()


def waiting_rows(session: Session, customer_ids: Sequence[str]) -> list[BilledPeriod]:
    """Return the charges worth something that are on no invoice, and those of their amount-free companions.

    What came to nothing is shown beside the rest only when it was billed just now: it has waited for nothing.
    """
    rows = session.scalars(
        select(BilledPeriod)
        .where(BilledPeriod.customer_id.in_(customer_ids), BilledPeriod.invoice_id.is_(None))
        .order_by(BilledPeriod.id)
    ).all()
    worth = [row for row in rows if is_worth_a_line(row)]
    newest = max((row.billed_at for row in worth), default=None)
    return [row for row in rows if is_worth_a_line(row) or row.billed_at == newest]


def sort_rows(rows: Sequence[BilledPeriod], family: Sequence[Customer]) -> list[BilledPeriod]:
    """Sort rows as an invoice shows them: the payer first, then by customer and subscription; fees before usage."""
    place = {member.id: index for index, member in enumerate(family)}
    return sorted(
        rows,
        key=lambda row: (
            place[row.customer_id],
            row.subscription_id,
            row.proof["feature"] is not None,
            row.period_start,
            row.rate_card_key,
            row.revision,
        ),
    )


def lines_of(session: Session, invoice: Invoice, rows: Sequence[BilledPeriod]) -> list[InvoiceLine]:
    """Return the lines of the rows, in order, numbered from 1."""
    lines: list[InvoiceLine] = []
    names: dict[str, str] = {}
    for row in rows:
        if row.plan_version_id not in names:
            names[row.plan_version_id] = spec_of(session.get_one(PlanVersion, row.plan_version_id)).name
        for worded in word_lines(row, names[row.plan_version_id], row.rate_card_key):
            lines.append(
                InvoiceLine(
                    id=new_id("line"),
                    invoice_id=invoice.id,
                    position=len(lines) + 1,
                    billed_period_id=row.id,
                    customer_id=row.customer_id,
                    subscription_id=row.subscription_id,
                    plan_version_id=row.plan_version_id,
                    rate_card_key=row.rate_card_key,
                    kind=worded.kind,
                    description=worded.description,
                    quantity=worded.quantity,
                    unit_price=worded.unit_price,
                    amount_minor=worded.amount_minor,
                    period_start=row.period_start,
                    period_end=row.period_end,
                    proof=_proof_of(row, worded),
                )
            )
    return lines


def _proof_of(row: BilledPeriod, worded: WordedLine) -> dict[str, Any]:
    proof = {"tier": worded.tier, "phase": row.phase_key, "events": row.proof["events"]}
    return proof if worded.shares is None else proof | {"shares": worded.shares}


def new_invoice(payer: Customer, rows: Sequence[BilledPeriod], *, now: datetime) -> Invoice:
    """Return the draft of an invoice for the rows, which is not yet written: a preview reads it, too."""
    return Invoice(
        id=new_id("inv"),
        legal_entity=DEFAULT_LEGAL_ENTITY,
        number=None,
        customer_id=payer.id,
        buyer={},
        currency=payer.currency,
        status=InvoiceStatus.DRAFT,
        period_start=min((row.period_start for row in rows), default=now),
        period_end=max((row.period_end for row in rows), default=now),
        total_minor=sum(row.amount_minor for row in rows),
        created_at=now,
        issued_at=None,
        due_at=None,
    )
