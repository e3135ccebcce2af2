"""Invoices over the API: list, show, lines, preview, issue a draft, void, mark paid, verify."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer
from tollkeeper.invoices.close_invoice import AfterVoid, void_invoice
from tollkeeper.invoices.finalize import finalize_invoice
from tollkeeper.invoices.pay import mark_paid
from tollkeeper.invoices.preview import preview_invoice
from tollkeeper.invoices.reading import (
    LineShare,
    get_invoice,
    list_invoices,
    list_lines,
    members_on,
    shares_of,
    subtotals_of,
)
from tollkeeper.invoices.states import MAY_BE_PAID, OPEN_STATUSES, amount_due
from tollkeeper.invoices.tables import Invoice, InvoiceLine, InvoiceStatus
from tollkeeper.invoices.verify import Finding, Verdict, verify_invoice
from tollkeeper.money import format_minor
from tollkeeper.web.actor import acting_key
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_invoices", __name__, url_prefix="/api/v1")

Amount = Annotated[str, Field(description="Decimal in the currency's own exponent.", examples=["22.00"])]


class InvoiceOut(BaseModel):
    """An invoice without its lines."""

    id: str
    number: Annotated[str | None, Field(description="Null for a draft.", examples=["INV-000001"])]
    customer: Annotated[str, Field(description="Id of the customer who pays.")]
    customer_key: str
    buyer: Annotated[dict[str, object], Field(description="Who buys, as it was at the issue; empty for a draft.")]
    seller: Annotated[dict[str, object], Field(description="Who sells, as it was at the issue; empty for a draft.")]
    currency: str
    status: InvoiceStatus
    is_overdue: bool
    total: Amount
    amount_paid: Amount
    amount_credited: Annotated[str, Field(description="What credit notes took off before it was paid.")]
    amount_due: Amount
    period_start: datetime
    period_end: datetime
    created_at: datetime
    issued_at: datetime | None
    due_at: datetime | None
    paid_at: datetime | None
    voided_at: datetime | None
    content_digest: Annotated[str | None, Field(description="SHA-256 over the issued document.")]
    stripe_id: str | None
    stripe_status: str | None
    stripe_problem: Annotated[str | None, Field(description="Why it is not at Stripe, or what is wrong there.")]
    stripe_is_stand_in: Annotated[bool, Field(description="True: no real Stripe account is behind it.")]
    hosted_invoice_url: str | None


class ShareOut(BaseModel):
    """What one customer used of a line's charge, and its part of the line's amount."""

    customer: str
    customer_key: str
    quantity: Annotated[str, Field(description="Of the whole charge; in a correction, by how much it moved.")]
    amount: Amount


class InvoiceLineOut(BaseModel):
    """One line, with what proves it."""

    position: int
    customer: Annotated[str, Field(description="Id of the customer whose subscription or credit it is.")]
    subscription: Annotated[str | None, Field(description="Null for prepaid credit, as are the next two.")]
    plan_version: str | None
    rate_card: str | None
    kind: str
    description: str
    quantity: str
    unit_price: str | None
    amount: Amount
    period_start: datetime
    period_end: datetime
    shares: Annotated[
        list[ShareOut], Field(description="Who used it, where that is not its customer alone; they add up to it.")
    ]
    proof: Annotated[
        dict[str, object],
        Field(
            description="Tier, phase, and the events: count, range, digest; of prepaid credit, grant and transaction; "
            "of tax, rate, base and tax."
        ),
    ]


class SubtotalOut(BaseModel):
    """What one customer adds to its payer's invoice."""

    customer: str
    customer_key: str
    amount: Amount


class InvoiceLinesOut(BaseModel):
    """All lines of an invoice, with a sub-total for each customer."""

    items: list[InvoiceLineOut]
    subtotals: list[SubtotalOut]
    total: Amount


class PreviewLineOut(BaseModel):
    """A line that the next invoice would have."""

    customer: str
    subscription: Annotated[str | None, Field(description="Null for prepaid credit, as is the rate card.")]
    rate_card: str | None
    kind: str
    description: str
    quantity: str
    unit_price: str | None
    amount: Amount
    period_start: datetime
    period_end: datetime


class PreviewOut(BaseModel):
    """The payer's next invoice as it stands."""

    customer: Annotated[str, Field(description="Id of the customer who pays.")]
    currency: str
    as_of: datetime
    items: list[PreviewLineOut]
    total: Amount


class InvoicesQuery(PageQuery):
    """Which invoices."""

    customer: Annotated[str | None, Field(description="Id or key of the customer who pays.")] = None
    status: InvoiceStatus | None = None


class VoidIn(BaseModel):
    """What becomes of the charges."""

    model_config = ConfigDict(extra="forbid")

    then: Annotated[AfterVoid, Field(description="Bill the charges on the next invoice, or forgive them.")] = (
        AfterVoid.BILL_AGAIN
    )


class FindingOut(BaseModel):
    """What came of recomputing one line; position 0 is the document as a whole."""

    position: int
    description: str
    amount: Amount
    verdict: Verdict
    detail: str


class VerificationOut(BaseModel):
    """A document, recomputed from what is behind it."""

    number: str | None
    is_equal: bool
    findings: list[FindingOut]


@blueprint.get("/invoices")
@endpoint("read", query=InvoicesQuery, answer=Page[InvoiceOut])
def list_all(query: InvoicesQuery) -> Page[InvoiceOut]:
    """List invoices, newest first, drafts too."""
    with snapshot() as session:
        customer_id = get_customer(session, query.customer).id if query.customer else None
        rows = list_invoices(
            session, customer_id=customer_id, status=query.status, before=query.after(), limit=query.limit + 1
        )
        return page_of(rows, query.limit, lambda row: _describe(session, row), lambda row: row.id)


@blueprint.get("/invoices/<id_or_number>")
@endpoint("read", answer=InvoiceOut)
def show(id_or_number: str) -> InvoiceOut:
    """Show an invoice by id or number."""
    with snapshot() as session:
        return _describe(session, get_invoice(session, id_or_number))


@blueprint.get("/invoices/<id_or_number>/lines")
@endpoint("read", answer=InvoiceLinesOut)
def show_lines(id_or_number: str) -> InvoiceLinesOut:
    """Show an invoice's lines, sub-totals by customer, and what proves each line."""
    with snapshot() as session:
        invoice = get_invoice(session, id_or_number)
        lines = list_lines(session, invoice.id)
        members = members_on(session, lines)
        return InvoiceLinesOut(
            items=[_describe_line(line, invoice.currency, shares_of(line, members)) for line in lines],
            subtotals=[
                SubtotalOut(
                    customer=one.customer_id,
                    customer_key=one.customer_key,
                    amount=format_minor(one.amount_minor, invoice.currency),
                )
                for one in subtotals_of(session, lines)
            ],
            total=format_minor(invoice.total_minor, invoice.currency),
        )


@blueprint.get("/invoices/<id_or_number>/verification")
@endpoint("read", answer=VerificationOut)
def verify(id_or_number: str) -> VerificationOut:
    """Recompute an invoice from the raw events and the stored plan; say for each line: equal, or what differs."""
    with snapshot() as session:
        invoice = get_invoice(session, id_or_number)
        return verification_of(invoice.number, invoice.currency, verify_invoice(session, invoice.id))


def verification_of(number: str | None, currency: str, findings: Sequence[Finding]) -> VerificationOut:
    """Return what came of verifying a document."""
    return VerificationOut(
        number=number,
        is_equal=all(finding.is_equal for finding in findings),
        findings=[
            FindingOut(
                position=finding.position,
                description=finding.description,
                amount=format_minor(finding.amount_minor, currency),
                verdict=finding.verdict,
                detail=finding.detail,
            )
            for finding in findings
        ],
    )


@blueprint.post("/invoices/<id_or_number>/finalize")
@endpoint("write", answer=InvoiceOut)
def finalize(id_or_number: str) -> InvoiceOut:
    """Issue a draft: it takes its number and never changes again. A repeat returns it as it is."""
    with transaction() as session:
        invoice = get_invoice(session, id_or_number)
        return _describe(session, finalize_invoice(session, invoice.id, by=acting_key(), now=web_context().clock.now()))


@blueprint.post("/invoices/<id_or_number>/void")
@endpoint("write", body=VoidIn, answer=InvoiceOut)
def void(id_or_number: str, body: VoidIn) -> InvoiceOut:
    """Void an unpaid issued invoice; its number stays taken, its charges go on the next one unless forgiven."""
    with transaction() as session:
        voided = void_invoice(session, id_or_number, then=body.then, by=acting_key(), now=web_context().clock.now())
        return _describe(session, voided)


@blueprint.post("/invoices/<id_or_number>/mark-paid")
@endpoint("write", answer=InvoiceOut)
def pay(id_or_number: str) -> InvoiceOut:
    """Note that an invoice was paid outside of Stripe, in full."""
    with transaction() as session:
        return _describe(session, mark_paid(session, id_or_number, by=acting_key(), now=web_context().clock.now()))


@blueprint.get("/customers/<key_or_id>/invoice-preview")
@endpoint("read", answer=PreviewOut)
def preview(key_or_id: str) -> PreviewOut:
    """Show the next invoice of the customer's payer as it stands: the running periods so far."""
    with snapshot() as session:
        found = preview_invoice(session, get_customer(session, key_or_id), now=web_context().clock.now())
        return PreviewOut(
            customer=found.payer.id,
            currency=found.invoice.currency,
            as_of=found.now,
            items=[
                PreviewLineOut(
                    customer=line.customer_id,
                    subscription=line.subscription_id,
                    rate_card=line.rate_card_key,
                    kind=line.kind,
                    description=line.description,
                    quantity=format(line.quantity, "f"),
                    unit_price=None if line.unit_price is None else format(line.unit_price, "f"),
                    amount=format_minor(line.amount_minor, found.invoice.currency),
                    period_start=line.period_start,
                    period_end=line.period_end,
                )
                for line in found.lines
            ],
            total=format_minor(found.total_minor, found.invoice.currency),
        )


def _describe(session: Session, invoice: Invoice) -> InvoiceOut:
    now = web_context().clock.now()
    return InvoiceOut(
        id=invoice.id,
        number=invoice.number,
        customer=invoice.customer_id,
        customer_key=invoice.buyer.get("key") or get_customer(session, invoice.customer_id).key,
        currency=invoice.currency,
        status=InvoiceStatus(invoice.status),
        is_overdue=invoice.status in OPEN_STATUSES and invoice.due_at is not None and invoice.due_at <= now,
        total=format_minor(invoice.total_minor, invoice.currency),
        amount_paid=format_minor(invoice.amount_paid_minor, invoice.currency),
        amount_credited=format_minor(invoice.amount_credited_minor, invoice.currency),
        amount_due=format_minor(amount_due(invoice) if invoice.status in MAY_BE_PAID else 0, invoice.currency),
        buyer=invoice.buyer,
        seller=invoice.seller,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        created_at=invoice.created_at,
        issued_at=invoice.issued_at,
        due_at=invoice.due_at,
        paid_at=invoice.paid_at,
        voided_at=invoice.voided_at,
        content_digest=invoice.content_digest,
        stripe_id=invoice.stripe_id,
        stripe_status=invoice.stripe_status,
        stripe_problem=invoice.stripe_problem,
        stripe_is_stand_in=invoice.stripe_is_stand_in,
        hosted_invoice_url=invoice.hosted_invoice_url,
    )


def _describe_line(line: InvoiceLine, currency: str, shares: Sequence[LineShare]) -> InvoiceLineOut:
    return InvoiceLineOut(
        position=line.position,
        customer=line.customer_id,
        subscription=line.subscription_id,
        plan_version=line.plan_version_id,
        rate_card=line.rate_card_key,
        kind=line.kind,
        description=line.description,
        quantity=format(line.quantity, "f"),
        unit_price=None if line.unit_price is None else format(line.unit_price, "f"),
        amount=format_minor(line.amount_minor, currency),
        period_start=line.period_start,
        period_end=line.period_end,
        shares=[
            ShareOut(
                customer=share.customer.id,
                customer_key=share.customer.key,
                quantity=format(share.quantity, "f"),
                amount=format_minor(share.amount_minor, currency),
            )
            for share in shares
        ],
        proof=line.proof,
    )
