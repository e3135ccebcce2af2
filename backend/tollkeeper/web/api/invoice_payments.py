"""An issued invoice's later life over the API: payments past Stripe, bad debts, what was done to it, its files."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.invoices.pay import PaymentDraft, list_payments, mark_uncollectible, record_payment
from tollkeeper.invoices.payment_tables import InvoiceActKind, InvoicePayment, PaymentMethod
from tollkeeper.invoices.pdf import invoice_pdf
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.states import list_acts
from tollkeeper.invoices.tables import InvoiceStatus
from tollkeeper.money import format_minor, parse_minor
from tollkeeper.payments.reread import ask_again
from tollkeeper.web.actor import acting_key
from tollkeeper.web.api.conventions import describe, endpoint
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.auth import requires
from tollkeeper.web.context import snapshot, transaction, web_context
from tollkeeper.web.pdf_file import send_pdf
from tollkeeper.web.usage_file import send_usage

blueprint = Blueprint("api_invoice_payments", __name__, url_prefix="/api/v1")

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class PaymentIn(BaseModel):
    """Money that came past Stripe."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[str | None, Field(max_length=40, description="Default: all that is due.")] = None
    reference: Annotated[Text | None, Field(description="Such as that of the bank transfer.")] = None
    received_at: Annotated[Instant | None, Field(description="When it came; default now.")] = None
    key: Annotated[Text | None, Field(description="Your own name for it: a repeat under it records nothing more.")] = (
        None
    )


class PaymentOut(BaseModel):
    """A payment for an invoice."""

    id: str
    amount: str
    method: PaymentMethod
    reference: str | None
    key: str | None
    received_at: datetime
    recorded_at: datetime
    recorded_by: str


class Payments(BaseModel):
    """All payments for an invoice, in the order in which they were recorded."""

    items: list[PaymentOut]


class ActOut(BaseModel):
    """One act on an invoice: who did what when."""

    kind: InvoiceActKind
    from_status: InvoiceStatus
    to_status: InvoiceStatus
    happened_at: datetime
    by: str
    note: str


class History(BaseModel):
    """Every act on an invoice, oldest first."""

    items: list[ActOut]


@blueprint.post("/invoices/<id_or_number>/payments")
@endpoint("write", body=PaymentIn, answer=PaymentOut, status=201)
def take_payment(id_or_number: str, body: PaymentIn) -> PaymentOut:
    """Record money that came for an invoice past Stripe; when nothing is due any more, the invoice is paid."""
    with transaction() as session:
        currency = get_invoice(session, id_or_number).currency
        draft = PaymentDraft(
            amount_minor=None if body.amount is None else parse_minor(body.amount, currency, "/amount"),
            reference=body.reference,
            received_at=body.received_at,
            key=body.key,
        )
        payment = record_payment(session, id_or_number, draft, by=acting_key(), now=web_context().clock.now())
        return _describe(payment, currency)


@blueprint.get("/invoices/<id_or_number>/payments")
@endpoint("read", answer=Payments)
def list_payments_of(id_or_number: str) -> Payments:
    """List the payments for an invoice, those by Stripe too."""
    with snapshot() as session:
        invoice = get_invoice(session, id_or_number)
        return Payments(items=[_describe(one, invoice.currency) for one in list_payments(session, invoice.id)])


@blueprint.get("/invoices/<id_or_number>/history")
@endpoint("read", answer=History)
def show_history(id_or_number: str) -> History:
    """Show what was done to an invoice, by whom and when."""
    with snapshot() as session:
        acts = list_acts(session, get_invoice(session, id_or_number).id)
        return History(items=[ActOut.model_validate(act, from_attributes=True) for act in acts])


@blueprint.post("/invoices/<id_or_number>/mark-uncollectible")
@endpoint("write")
def give_up(id_or_number: str) -> None:
    """Give up on what is due for an invoice, as a bad debt; it may still be paid. A repeat changes nothing."""
    with transaction() as session:
        mark_uncollectible(session, id_or_number, by=acting_key(), now=web_context().clock.now())


@blueprint.post("/invoices/<id_or_number>/reread-stripe")
@endpoint("write")
def reread(id_or_number: str) -> None:
    """Let the next run of the job ask Stripe about an invoice, whose webhooks may have been missed."""
    with transaction() as session:
        ask_again(session, get_invoice(session, id_or_number), now=web_context().clock.now())


@blueprint.get("/invoices/<id_or_number>/usage.csv")
@requires("read")
@describe(answer={"type": "string"}, answer_types=("text/csv",))
def show_invoice_usage(id_or_number: str) -> Response:
    """Send the events that an invoice's usage charges counted, as CSV, one a row, with value and customer."""
    return send_usage(id_or_number)


@blueprint.get("/invoices/<id_or_number>/pdf")
@requires("read")
@describe(answer={"type": "string", "format": "binary"}, answer_types=("application/pdf",))
def show_invoice_pdf(id_or_number: str) -> Response:
    """Send an issued invoice as PDF, with what was paid of it by now; a draft has none (409)."""
    with snapshot() as session:
        return send_pdf(invoice_pdf(session, id_or_number))


def _describe(payment: InvoicePayment, currency: str) -> PaymentOut:
    return PaymentOut(
        id=payment.id,
        amount=format_minor(payment.amount_minor, currency),
        method=PaymentMethod(payment.method),
        reference=payment.reference,
        key=payment.key,
        received_at=payment.received_at,
        recorded_at=payment.recorded_at,
        recorded_by=payment.recorded_by,
    )
