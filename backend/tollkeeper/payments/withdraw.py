"""Make Stripe follow when one of our invoices was voided here, or paid outside of Stripe."""

from datetime import datetime
from typing import Any

import stripe
from sqlalchemy import update

from tollkeeper.invoices.tables import Invoice, InvoiceStatus
from tollkeeper.payments.answers import read_refusal
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.outbox import Operation, StripeRefused, perform
from tollkeeper.payments.push_invoice import read_invoice
from tollkeeper.storage.session import Database


def follow_our_status(database: Database, account: StripeAccount, invoice_id: str, *, now: datetime) -> None:
    """Void the invoice at Stripe, or mark it paid out of band, as ours is; a draft there is deleted.

    Does nothing if Stripe never had it, or is there already. Raises StripeRefused.
    """
    with database.snapshot() as session:
        invoice = session.get_one(Invoice, invoice_id)
    if invoice.stripe_id is None:
        return
    services: Any = account.client.v1.invoices
    found = read_invoice(account, invoice.stripe_id)
    if found.status == "draft":
        _delete(services, invoice.stripe_id)
        status: str | None = None
    elif found.status in {"open", "uncollectible"}:
        status = "void" if invoice.status == InvoiceStatus.VOID else "paid"
        perform(database, _operation(account, invoice, status), now=now)
    else:
        status = str(found.status)
    with database.transaction() as session:
        session.execute(update(Invoice).where(Invoice.id == invoice_id).values(stripe_status=status))


def _operation(account: StripeAccount, invoice: Invoice, status: str) -> Operation:
    services: Any = account.client.v1.invoices
    stripe_id = invoice.stripe_id or ""

    def send(parameters: Any, options: stripe.RequestOptions) -> str:
        act = services.void_invoice if status == "void" else services.pay
        return str(act(stripe_id, parameters, options).id)

    return Operation(
        account=account.name,
        name=f"make_{status}",
        subject_id=invoice.id,
        parameters={} if status == "void" else {"paid_out_of_band": True},
        send=send,
        find=lambda: stripe_id if read_invoice(account, stripe_id).status == status else None,
    )


def _delete(services: Any, stripe_id: str) -> None:
    try:
        services.delete(stripe_id)
    except stripe.StripeError as error:
        raise StripeRefused("delete_draft", read_refusal(error)) from None
