"""What a paid top-up gives: its amount as paid credit, once, in the transaction in which its invoice is paid."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import case, func, literal, or_, select
from sqlalchemy.orm import Session

from tollkeeper.credits.grants import GrantDraft, add_grant
from tollkeeper.credits.tables import CreditGrant, GrantKind
from tollkeeper.credits.top_up import end_fall
from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.tables import TOP_UP, Invoice, InvoiceLine, InvoiceStatus
from tollkeeper.invoices.top_up_tables import CreditTopUp

GRANT_KEY = "top_up:"


def grant_top_up(session: Session, invoice: Invoice, *, now: datetime) -> None:
    """Grant what a locked invoice that has just been paid tops up; nothing, if it is for something else.

    Its key is the invoice, so a repeat grants nothing more. It is granted also to one whom somebody else pays for
    by now: the money has come.
    """
    top_up = session.scalars(select(CreditTopUp).where(CreditTopUp.invoice_id == invoice.id)).first()
    if top_up is None:
        return
    draft = GrantDraft(
        kind=GrantKind.PAID,
        amount_minor=top_up.amount_minor,
        currency=top_up.currency,
        name=f"Top-up {invoice.number}",
        key=f"{GRANT_KEY}{invoice.id}",
    )
    add_grant(session, session.get_one(Customer, top_up.customer_id), draft, now=now)
    end_fall(session, top_up.customer_id, top_up.currency, top_up.due_since, now=now)


def check_top_up(session: Session, invoice: Invoice, lines: Sequence[InvoiceLine]) -> Iterator[tuple[InvoiceLine, str]]:
    """Yield each top-up line of an invoice with what is wrong with it by the top-up, or an empty text."""
    top_up = session.scalars(select(CreditTopUp).where(CreditTopUp.invoice_id == invoice.id)).first()
    for line in lines:
        if line.kind == TOP_UP:
            said = (line.amount_minor, invoice.customer_id, invoice.currency, line.proof.get("due_since"))
            is_right = top_up is not None and said == (
                top_up.amount_minor,
                top_up.customer_id,
                top_up.currency,
                top_up.due_since.isoformat(),
            )
            yield line, "" if is_right else "no such top-up was due"


def top_ups_are_granted_when_paid(session: Session) -> Iterator[str]:
    """Yield each top-up whose invoice is for another amount, or whose credit is not there exactly when it is paid."""
    granted = func.coalesce(CreditGrant.amount_minor, 0)
    due = case((Invoice.status == InvoiceStatus.PAID, CreditTopUp.amount_minor), else_=0)
    on_lines = (
        select(func.coalesce(func.sum(InvoiceLine.amount_minor), 0))
        .where(InvoiceLine.invoice_id == Invoice.id, InvoiceLine.kind == TOP_UP)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Invoice.number, CreditTopUp.amount_minor, on_lines, due, granted)
        .join(CreditTopUp, CreditTopUp.invoice_id == Invoice.id)
        .outerjoin(CreditGrant, CreditGrant.key == literal(GRANT_KEY) + Invoice.id)
        .where(or_(on_lines != CreditTopUp.amount_minor, Invoice.total_minor != on_lines, due != granted))
    )
    for number, amount, billed, expected, given in rows:
        yield f"{number}: tops up {amount}, bills {billed}; {expected} is due as credit, {given} was granted"
    for line_id in session.scalars(
        select(InvoiceLine.id)
        .outerjoin(CreditTopUp, CreditTopUp.invoice_id == InvoiceLine.invoice_id)
        .where(InvoiceLine.kind == TOP_UP, CreditTopUp.invoice_id.is_(None))
    ):
        yield f"line {line_id}: there is no top-up that it charges"
