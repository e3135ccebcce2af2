"""Take over what Stripe has of an invoice: our row moves forward, never back."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tollkeeper.invoices.close_invoice import settle_payment
from tollkeeper.invoices.tables import Invoice, InvoiceStatus
from tollkeeper.payments.exponents import to_stripe_amount

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
    if status not in MAY_FOLLOW[invoice.stripe_status]:
        if status == invoice.stripe_status == "open" and problem is not None:
            invoice.stripe_problem = problem
            return "noted"
        return f"nothing to do: {invoice.stripe_status} is not followed by {status}"
    invoice.stripe_status = status
    if status != "draft":  # of a draft only the sync knows what is wrong
        invoice.stripe_problem = problem or disagreement(invoice, found)
    _settle(session, invoice, found, now=now)
    return f"now {status}"


def disagreement(invoice: Invoice, found: Any) -> str | None:
    """Say what a person has to put right between the end of our invoice and the end of Stripe's, if anything."""
    if found.status == "paid" and invoice.status == InvoiceStatus.VOID:
        return "paid at Stripe but void here: give the money back there"
    if found.status == "paid" and invoice.status != InvoiceStatus.PAID and not _is_paid_enough(invoice, found):
        return f"Stripe says paid, but only {found.amount_paid} was paid"
    if found.status == "void" and invoice.status != InvoiceStatus.VOID:
        return "voided at Stripe but not here: void it here as well, or issue it anew"
    return None


def _is_paid_enough(invoice: Invoice, found: Any) -> bool:
    # The status alone proves nothing: a tiny invoice is "paid" without money (docs/stripe.md).
    return bool(found.amount_paid >= to_stripe_amount(invoice.total_minor, invoice.currency))


def _settle(session: Session, invoice: Invoice, found: Any, *, now: datetime) -> None:
    unsettled = {InvoiceStatus.ISSUED, InvoiceStatus.UNCOLLECTIBLE}
    if found.status == "paid" and invoice.status in unsettled and _is_paid_enough(invoice, found):
        settle_payment(session, invoice, now=now)
    elif found.status == "uncollectible" and invoice.status == InvoiceStatus.ISSUED:
        invoice.status = InvoiceStatus.UNCOLLECTIBLE
