"""Draft a payer's invoice from the charges that wait for one: its own and those of whom it pays for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.catalog.versions import spec_of
from tollkeeper.customers.customers import family_of
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict
from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.coupon_returns import coupon_returns
from tollkeeper.invoices.legal_entities import Terms, read_terms
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
from tollkeeper.subscriptions.billing_periods import has_charges_to_come


def draft_invoice(session: Session, payer: Customer, *, now: datetime) -> Invoice | None:
    """Put every waiting charge of the payer's family on a new draft, as `draft_bills` does; None if there is none."""
    bills = draft_bills(session, [family_of(session, payer.id)], now=now)
    return bills[0].invoice if bills else None


def draft_bills(session: Session, families: Sequence[Sequence[Customer]], *, now: datetime) -> list[Bill]:
    """Draft an invoice for each family, its payer first, whose waiting charges come to more than nothing.

    The caller has locked the payers, so that nobody else drafts from the same charges. Raises Conflict for a
    charge in another currency than the payer's, whose currency was changed or who is another one now.
    A credit that is greater than what is due goes on waiting, and is taken off the next invoice; so does what is
    below the seller's minimum, unless there will be no next one: then it is issued or waived, as the seller says.
    """
    terms = read_terms(session, [family[0].id for family in families])
    waiting = _waiting_of_each(session, families)
    names = plan_names_of(session, [row for rows in waiting for row in rows])
    bills: list[Bill] = []
    billed: list[tuple[BilledPeriod, Invoice]] = []
    for family, rows in zip(families, waiting, strict=True):
        _check_currency(family[0], rows)
        invoice = new_invoice(family[0], rows, now=now)
        invoice.legal_entity = terms.seller_of(family[0].id)
        bill = Bill(invoice, family[0], now, lines_of(invoice, sort_rows(rows, family), names))
        if _is_issued(session, bill, family, rows, terms):
            bills.append(bill)
            billed += [(row, invoice) for row in rows]
    session.add_all(bill.invoice for bill in bills)
    session.flush()
    for row, invoice in billed:
        row.invoice_id = invoice.id
    session.add_all(line for bill in bills for line in bill.lines)
    session.flush()
    return bills


def _is_issued(
    session: Session, bill: Bill, family: Sequence[Customer], rows: Sequence[BilledPeriod], terms: Terms
) -> bool:
    """Tell whether waiting charges make an invoice now; those of a last one that the seller waives are given up.

    A credit counts as what it gives back without its part of earlier coupons.
    """
    payer = bill.payer
    total = bill.total_minor + sum(line.amount_minor for line in coupon_returns(session, bill))
    if total <= 0 or total >= terms.minimum_minor(payer.id, payer.currency):
        return total > 0
    is_last = not has_charges_to_come(session, [member.id for member in family])
    if is_last and terms.is_last_waived(payer.id):
        for row in rows:
            row.waived_at = bill.now
    return is_last and not terms.is_last_waived(payer.id)


def _check_currency(payer: Customer, rows: Sequence[BilledPeriod]) -> None:
    foreign = next((row for row in rows if row.currency != payer.currency), None)
    if foreign is not None:
        raise Conflict(f"{payer.key!r} is billed in {payer.currency}, but a charge of {foreign.currency} waits for it")


def plan_names_of(session: Session, rows: Sequence[BilledPeriod]) -> dict[str, str]:
    """Return the names of the rows' plans by version."""
    versions = session.scalars(select(PlanVersion).where(PlanVersion.id.in_({row.plan_version_id for row in rows})))
    return {version.id: spec_of(version).name for version in versions}


def discard_draft(session: Session, invoice_id: str) -> None:
    """Delete a draft; its charges wait for the next one. Raises Conflict for an issued invoice."""
    invoice = get_invoice(session, invoice_id, is_locked=True)
    if invoice.status != InvoiceStatus.DRAFT:
        raise Conflict(f"invoice {invoice.number} is issued; void it instead")
    session.execute(update(BilledPeriod).where(BilledPeriod.invoice_id == invoice.id).values(invoice_id=None))
    session.execute(delete(InvoiceLine).where(InvoiceLine.invoice_id == invoice.id))
    session.delete(invoice)
    session.flush()


def waiting_rows(session: Session, family: Sequence[Customer]) -> list[BilledPeriod]:
    """Return the charges worth something that are on no invoice, and those of their amount-free companions.

    What came to nothing is shown beside the rest only when it was billed just now: it has waited for nothing.
    """
    return _waiting_of_each(session, [family])[0]


def _waiting_of_each(session: Session, families: Sequence[Sequence[Customer]]) -> list[list[BilledPeriod]]:
    place = {member.id: index for index, family in enumerate(families) for member in family}
    waiting: list[list[BilledPeriod]] = [[] for _ in families]
    for row in session.scalars(
        select(BilledPeriod)
        .where(BilledPeriod.customer_id.in_(place), BilledPeriod.invoice_id.is_(None), BilledPeriod.waived_at.is_(None))
        .order_by(BilledPeriod.id)
    ):
        waiting[place[row.customer_id]].append(row)
    return [_worth_showing(rows) for rows in waiting]


def _worth_showing(rows: Sequence[BilledPeriod]) -> list[BilledPeriod]:
    newest = max((row.billed_at for row in rows if is_worth_a_line(row)), default=None)
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


def lines_of(invoice: Invoice, rows: Sequence[BilledPeriod], plan_names: Mapping[str, str]) -> list[InvoiceLine]:
    """Return the lines of the rows, in order, numbered from 1; the plans' names are by version."""
    lines: list[InvoiceLine] = []
    for row in rows:
        for worded in word_lines(row, plan_names[row.plan_version_id], row.rate_card_key):
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
    proof = {"tier": worded.tier, "phase": row.phase_key, "events": row.proof["events"], **row.proof["sold"]}
    if row.proof["override"] is not None:
        proof["override"] = row.proof["override"]
    return proof if worded.shares is None else proof | {"shares": worded.shares}


def new_invoice(payer: Customer, rows: Sequence[BilledPeriod], *, now: datetime) -> Invoice:
    """Return the draft of an invoice for the rows, which is not yet written: a preview reads it, too."""
    return Invoice(
        id=new_id("inv"),
        legal_entity=DEFAULT_LEGAL_ENTITY,
        number=None,
        customer_id=payer.id,
        buyer={},
        seller={},
        currency=payer.currency,
        status=InvoiceStatus.DRAFT,
        period_start=min((row.period_start for row in rows), default=now),
        period_end=max((row.period_end for row in rows), default=now),
        total_minor=sum(row.amount_minor for row in rows),
        created_at=now,
        issued_at=None,
        due_at=None,
    )
