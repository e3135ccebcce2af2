"""Compare our invoices with Stripe's: same total, same currency, a status that fits."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.invoices.states import OPEN_STATUSES
from tollkeeper.invoices.tables import Invoice, InvoiceStatus
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.exponents import to_stripe_amount
from tollkeeper.payments.find import read_invoice
from tollkeeper.payments.outbox import StripeRefused
from tollkeeper.payments.push_credit_note import check_credit_notes
from tollkeeper.payments.tables import StripeRequest

FITTING = {
    **{status: {"draft", "open"} for status in OPEN_STATUSES},
    InvoiceStatus.PAID: {"paid"},
    InvoiceStatus.VOID: {"void"},
    InvoiceStatus.UNCOLLECTIBLE: {"uncollectible"},
}


def check_stripe(session: Session, account: StripeAccount) -> list[str]:
    """Return what differs between us and the account, in words; asks Stripe once per invoice that it has."""
    invoices = session.scalars(
        select(Invoice)
        .where(Invoice.stripe_id.is_not(None), Invoice.stripe_is_stand_in == account.is_stand_in)
        .order_by(Invoice.sequence_number)
    ).all()
    return [
        *_made_twice(session, account.name),
        *(problem for invoice in invoices for problem in _compare(invoice, account)),
        *check_credit_notes(session, account),
    ]


def _made_twice(session: Session, account: str) -> Iterator[str]:
    """Two answered creations of one invoice are fine only if the first one's draft was deleted."""
    answered = session.scalars(
        select(StripeRequest).where(
            StripeRequest.account == account,
            StripeRequest.operation == "create_invoice",
            StripeRequest.answered_at.is_not(None),
        )
    )
    seen: dict[str, str] = {}
    for request in answered:
        first = seen.setdefault(request.subject_id, str(request.stripe_id))
        if first != request.stripe_id:
            yield f"{request.subject_id}: Stripe has {first} and {request.stripe_id} for it"


def _compare(invoice: Invoice, account: StripeAccount) -> Iterator[str]:
    name = f"{invoice.number}, {invoice.stripe_id}"
    try:
        found = read_invoice(account, invoice.stripe_id or "")
    except StripeRefused as refused:
        yield f"{name}: {refused}"
        return
    total = to_stripe_amount(invoice.total_minor, invoice.currency)
    if (found.total, found.currency) != (total, invoice.currency.lower()):
        yield f"{name}: Stripe says {found.total} {found.currency}, we say {total} {invoice.currency.lower()}"
    if found.status not in FITTING[InvoiceStatus(invoice.status)]:
        yield f"{name}: is {found.status} at Stripe and {invoice.status} here"
