"""Take payments for an issued invoice: one or several, by Stripe or past it; note what will never be paid."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.announce import announce
from tollkeeper.invoices.payment_tables import InvoiceActKind, InvoicePayment, PaymentMethod
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.states import MAY_BE_PAID, OPEN_STATUSES, Deed, amount_due, move
from tollkeeper.invoices.tables import Invoice, InvoiceStatus
from tollkeeper.invoices.top_up_grant import grant_top_up
from tollkeeper.money import format_minor
from tollkeeper.storage.ids import new_id

MOST_OVERDUE_A_RUN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDraft:
    """What came; without an amount all that is due. Under `key` it is recorded once."""

    amount_minor: int | None = None
    method: PaymentMethod = PaymentMethod.OUT_OF_BAND
    reference: str | None = None
    received_at: datetime | None = None
    key: str | None = None


def record_payment(
    session: Session, id_or_number: str, draft: PaymentDraft, *, by: str, now: datetime
) -> InvoicePayment:
    """Record money that came for an invoice; a repeat under the draft's key returns the payment that is there.

    When nothing is due any more the invoice is paid. Raises InvalidInput for more than is due and for a time
    ahead, Conflict for an invoice that takes no payment and for a key that belongs to another payment.
    """
    invoice = get_invoice(session, id_or_number, is_locked=True)
    earlier = _find_by_key(session, invoice.id, draft.key)
    if earlier is not None:
        return _same(earlier, draft)
    if invoice.status not in MAY_BE_PAID:
        raise Conflict(f"invoice {invoice.number or invoice.id} is {invoice.status}; it cannot be paid")
    due = amount_due(invoice)
    amount = due if draft.amount_minor is None else draft.amount_minor
    if not 0 < amount <= due:
        left = format_minor(due, invoice.currency)
        raise InvalidInput.of("/amount", f"has to be more than zero and at most the {left} that is due")
    if draft.received_at is not None and draft.received_at > now:
        raise InvalidInput.of("/received_at", "is in the future")
    payment = InvoicePayment(
        id=new_id("pay"),
        invoice_id=invoice.id,
        amount_minor=amount,
        method=draft.method,
        reference=draft.reference,
        key=draft.key,
        received_at=draft.received_at or now,
        recorded_at=now,
        recorded_by=by,
    )
    session.add(payment)
    invoice.amount_paid_minor += amount
    note = f"{format_minor(amount, invoice.currency)} {invoice.currency} {draft.method}"
    deed = Deed(InvoiceActKind.PAYMENT, by, now, f"{note} {draft.reference or ''}".strip())
    settle(session, invoice, deed)
    return payment


def settle(session: Session, invoice: Invoice, deed: Deed) -> None:
    """Write an act on a locked invoice's money down, and with it what it makes of the invoice."""
    is_paid = amount_due(invoice) == 0
    move(session, invoice, _state_after(invoice, is_paid=is_paid), deed)
    if is_paid:
        invoice.paid_at = deed.now
    session.flush()
    if is_paid:
        grant_top_up(session, invoice, now=deed.now)
        announce(session, invoice, "paid", now=deed.now)


def _state_after(invoice: Invoice, *, is_paid: bool) -> InvoiceStatus:
    if is_paid:
        return InvoiceStatus.PAID
    if invoice.status == InvoiceStatus.ISSUED and invoice.amount_paid_minor:
        return InvoiceStatus.PARTLY_PAID
    return InvoiceStatus(invoice.status)


def _find_by_key(session: Session, invoice_id: str, key: str | None) -> InvoicePayment | None:
    if key is None:
        return None
    return session.scalars(
        select(InvoicePayment).where(InvoicePayment.invoice_id == invoice_id, InvoicePayment.key == key)
    ).first()


def _same(earlier: InvoicePayment, draft: PaymentDraft) -> InvoicePayment:
    is_same = (
        draft.amount_minor in {None, earlier.amount_minor}
        and (draft.method, draft.reference) == (earlier.method, earlier.reference)
        and draft.received_at in {None, earlier.received_at}
    )
    if not is_same:
        raise Conflict(f"payment {earlier.id} has the key {earlier.key!r} already and says otherwise; take a new key")
    return earlier


def mark_paid(session: Session, invoice_id: str, *, by: str = "system", now: datetime) -> Invoice:
    """Record that all that is due was paid past Stripe; a repeat keeps the first instant. Raises Conflict."""
    invoice = get_invoice(session, invoice_id, is_locked=True)
    if invoice.status != InvoiceStatus.PAID:
        record_payment(session, invoice.id, PaymentDraft(), by=by, now=now)
    return invoice


def mark_uncollectible(session: Session, invoice_id: str, *, by: str = "system", now: datetime) -> Invoice:
    """Give up on what is due, as a bad debt; it may still be paid. A repeat changes nothing. Raises Conflict."""
    invoice = get_invoice(session, invoice_id, is_locked=True)
    if invoice.status != InvoiceStatus.UNCOLLECTIBLE:
        if invoice.status not in OPEN_STATUSES:
            raise Conflict(f"invoice {invoice.number or invoice.id} is {invoice.status}; nothing is due for it")
        move(session, invoice, InvoiceStatus.UNCOLLECTIBLE, Deed(InvoiceActKind.UNCOLLECTIBLE, by, now))
        session.flush()
        announce(session, invoice, "uncollectible", now=now)
    return invoice


def mark_overdue(session: Session, *, now: datetime) -> int:
    """Move invoices whose due date has come and that are not paid; return how many, some at a time."""
    late = session.scalars(
        select(Invoice)
        .where(Invoice.status.in_([InvoiceStatus.ISSUED, InvoiceStatus.PARTLY_PAID]), Invoice.due_at <= now)
        .order_by(Invoice.due_at, Invoice.id)
        .limit(MOST_OVERDUE_A_RUN)
        .with_for_update(skip_locked=True)
    ).all()
    for invoice in late:
        move(session, invoice, InvoiceStatus.OVERDUE, Deed(InvoiceActKind.OVERDUE, "job mark_overdue", now))
    session.flush()
    for invoice in late:
        announce(session, invoice, "overdue", now=now)
    return len(late)


def list_payments(session: Session, invoice_id: str) -> Sequence[InvoicePayment]:
    """Return the payments for an invoice in the order in which they were recorded."""
    return session.scalars(
        select(InvoicePayment).where(InvoicePayment.invoice_id == invoice_id).order_by(InvoicePayment.id)
    ).all()


def paid_by(session: Session, invoice_id: str, method: PaymentMethod) -> int:
    """Return what was paid for an invoice by one way, in minor units."""
    return int(
        session.scalar(
            select(func.coalesce(func.sum(InvoicePayment.amount_minor), 0)).where(
                InvoicePayment.invoice_id == invoice_id, InvoicePayment.method == method
            )
        )
        or 0
    )
