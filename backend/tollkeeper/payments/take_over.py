"""Take over what Stripe has of an invoice: our row moves forward, never back."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tollkeeper.invoices.pay import PaymentDraft, mark_uncollectible, paid_by, record_payment
from tollkeeper.invoices.payment_tables import PaymentMethod
from tollkeeper.invoices.states import MAY_BE_PAID, OPEN_STATUSES, amount_due
from tollkeeper.invoices.tables import Invoice, InvoiceStatus
from tollkeeper.money import format_minor
from tollkeeper.payments.exponents import from_stripe_amount

# Which status at Stripe may follow which; anything else is news that came late.
MAY_FOLLOW: dict[str | None, frozenset[str]] = {
    None: frozenset({"draft", "open", "paid", "void", "uncollectible"}),
    "draft": frozenset({"open", "paid", "void", "uncollectible"}),
    "open": frozenset({"paid", "void", "uncollectible"}),
    "uncollectible": frozenset({"paid", "void"}),
    "paid": frozenset(),
    "void": frozenset(),
}


def take_over(session: Session, invoice_id: str, found: Any, problem: str | None, *, now: datetime) -> str:
    """Move our invoice to what Stripe has, if that is forward; return what was done, in words."""
    invoice = session.get_one(Invoice, invoice_id, with_for_update=True)
    if invoice.stripe_id is None:
        invoice.stripe_id = str(found.id)
    if invoice.stripe_id != found.id:
        return f"ignored: the invoice is {invoice.stripe_id} at Stripe, not {found.id}"
    invoice.hosted_invoice_url = getattr(found, "hosted_invoice_url", None) or invoice.hosted_invoice_url
    status = str(found.status)
    paid, overpaid = _take_payments(session, invoice, found, now=now)
    if status not in MAY_FOLLOW[invoice.stripe_status]:
        if paid:
            invoice.stripe_problem = problem or overpaid
            return f"now {invoice.status}: {paid}"
        if status == invoice.stripe_status == "open" and problem is not None:
            invoice.stripe_problem = problem
            return "noted"
        return f"nothing to do: {invoice.stripe_status} is not followed by {status}"
    invoice.stripe_status = status
    if status != "draft":  # of a draft only the sync knows what is wrong
        invoice.stripe_problem = problem or disagreement(invoice, found) or overpaid
    _settle(session, invoice, found, now=now)
    return f"now {status}"


def disagreement(invoice: Invoice, found: Any) -> str | None:
    """Say what a person has to put right between the end of our invoice and the end of Stripe's, if anything."""
    if found.status == "paid" and invoice.status == InvoiceStatus.VOID:
        return "paid at Stripe but void here: give the money back there"
    # The status alone proves nothing: a tiny invoice is "paid" without money (docs/stripe.md).
    if found.status == "paid" and invoice.status != InvoiceStatus.PAID:
        return f"Stripe says paid, but only {found.amount_paid} was paid"
    if found.status == "void" and invoice.status != InvoiceStatus.VOID:
        return "voided at Stripe but not here: void it here as well, or issue it anew"
    return None


def _take_payments(session: Session, invoice: Invoice, found: Any, *, now: datetime) -> tuple[str, str | None]:
    """Record what Stripe has got since the last look, as far as it is due here.

    Return it in words, and what a person has to put right if it got more than that.
    """
    if invoice.status not in MAY_BE_PAID or found.status in {"draft", "void"}:
        return "", None
    got = from_stripe_amount(int(getattr(found, "amount_paid", 0) or 0), invoice.currency)
    news = got - paid_by(session, invoice.id, PaymentMethod.STRIPE)
    if news <= 0:
        return "", None
    taken = min(news, amount_due(invoice))
    draft = PaymentDraft(
        amount_minor=taken, method=PaymentMethod.STRIPE, reference=str(found.id), key=f"stripe:{found.id}:{got}"
    )
    record_payment(session, invoice.id, draft, by="Stripe", now=now)
    over = format_minor(news - taken, invoice.currency)
    told = f"Stripe got {over} {invoice.currency} more than was due: give it back there" if taken < news else None
    return f"{format_minor(taken, invoice.currency)} {invoice.currency} was paid", told


def _settle(session: Session, invoice: Invoice, found: Any, *, now: datetime) -> None:
    if found.status == "uncollectible" and invoice.status in OPEN_STATUSES:
        mark_uncollectible(session, invoice.id, by="Stripe", now=now)
