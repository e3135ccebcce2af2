"""Make Stripe follow when one of our invoices was voided or given up on here, or paid outside of Stripe."""

from datetime import datetime
from typing import Any

import stripe
from sqlalchemy import select, update

from tollkeeper.invoices.tables import Invoice, InvoiceStatus
from tollkeeper.payments.answers import read_refusal
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.find import find_invoice, read_invoice
from tollkeeper.payments.outbox import Operation, StripeRefused, perform
from tollkeeper.payments.tables import StripeRequest
from tollkeeper.payments.take_over import disagreement
from tollkeeper.storage.session import Database

STATUS_THERE = {
    InvoiceStatus.VOID: "void",
    InvoiceStatus.PAID: "paid",
    InvoiceStatus.UNCOLLECTIBLE: "uncollectible",
}


def _status_there(invoice: Invoice) -> str:
    return STATUS_THERE[InvoiceStatus(invoice.status)]


def follow_our_status(database: Database, account: StripeAccount, invoice_id: str, *, now: datetime) -> str | None:
    """Void the invoice at Stripe, mark it paid out of band or uncollectible, as ours is; a draft there is deleted.

    Return what a person has to put right afterwards, mostly nothing. Does nothing if Stripe never had it, or is
    there already. Raises StripeRefused.
    """
    with database.snapshot() as session:
        invoice = session.get_one(Invoice, invoice_id)
    if invoice.stripe_is_stand_in and not account.is_stand_in:
        return None  # this account never had it
    stripe_id = invoice.stripe_id or _find_unnoted(database, account, invoice_id)
    if stripe_id is None:
        return None
    found = _read(account, invoice, stripe_id)
    if found is None:
        return None
    columns: dict[str, Any]
    if found.status == "draft":
        _delete(account, stripe_id)
        columns = {"stripe_id": None, "stripe_status": None}
    elif found.status in {"open", "uncollectible"} and found.status != (status := _status_there(invoice)):
        perform(database, _operation(account, invoice_id, stripe_id, status), now=now)
        columns = {"stripe_id": stripe_id, "stripe_status": status}
    else:
        columns = {"stripe_id": stripe_id, "stripe_status": str(found.status)}
    with database.transaction() as session:
        session.execute(update(Invoice).where(Invoice.id == invoice_id).values(**columns))
    return disagreement(invoice, found)


def _read(account: StripeAccount, invoice: Invoice, stripe_id: str) -> Any:
    """Return the invoice at Stripe; None for a draft that was deleted there, which asks nothing of anybody."""
    try:
        return read_invoice(account, stripe_id)
    except StripeRefused as refused:
        if refused.refusal.is_missing and invoice.stripe_status in {None, "draft"}:
            return None
        raise


def _find_unnoted(database: Database, account: StripeAccount, invoice_id: str) -> str | None:
    """Look for a draft that was asked for, but whose answer was lost before it was noted on the invoice."""
    with database.snapshot() as session:
        asked = session.scalars(
            select(StripeRequest)
            .where(
                StripeRequest.account == account.name,
                StripeRequest.operation == "create_invoice",
                StripeRequest.subject_id == invoice_id,
            )
            .order_by(StripeRequest.attempt.desc())
            .limit(1)
        ).first()
    if asked is None:
        return None
    try:
        return find_invoice(account, str(asked.parameters["customer"]), invoice_id)
    except stripe.StripeError as error:
        refusal = read_refusal(error)
        if refusal.is_missing:
            return None  # no such customer, so no such invoice
        raise StripeRefused("look for create_invoice", refusal) from None


def _operation(account: StripeAccount, invoice_id: str, stripe_id: str, status: str) -> Operation:
    services: Any = account.client.v1.invoices

    def send(parameters: Any, options: stripe.RequestOptions) -> str:
        acts = {"void": services.void_invoice, "paid": services.pay, "uncollectible": services.mark_uncollectible}
        return str(acts[status](stripe_id, parameters, options).id)

    return Operation(
        account=account.name,
        name=f"make_{status}",
        subject_id=invoice_id,
        parameters={"paid_out_of_band": True} if status == "paid" else {},
        send=send,
        find=lambda: stripe_id if read_invoice(account, stripe_id).status == status else None,
    )


def _delete(account: StripeAccount, stripe_id: str) -> None:
    services: Any = account.client.v1.invoices
    try:
        services.delete(stripe_id)
    except stripe.StripeError as error:
        refusal = read_refusal(error)
        if not refusal.is_missing:  # else a try whose answer was lost has deleted it
            raise StripeRefused("delete_draft", refusal) from None
