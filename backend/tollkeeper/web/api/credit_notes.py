"""Credit notes over the API: issue one for an invoice, void one that took off what was due, show them."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.credit_note_reading import get_note, list_all_notes, list_notes, list_of_lines
from tollkeeper.invoices.credit_note_tables import (
    CreditNote,
    CreditNoteStatus,
    CreditReason,
    NoteSync,
    Settlement,
)
from tollkeeper.invoices.credit_notes import MOST_MEMO, CreditNoteDraft, issue_credit_note, void_credit_note
from tollkeeper.invoices.pdf import credit_note_pdf
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.verify_note import verify_credit_note
from tollkeeper.money import format_minor, parse_minor
from tollkeeper.payments.push_credit_note import retry_credit_note
from tollkeeper.web.actor import acting_key
from tollkeeper.web.api.conventions import describe, endpoint
from tollkeeper.web.api.invoices import VerificationOut, verification_of
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.auth import requires
from tollkeeper.web.context import snapshot, transaction, web_context
from tollkeeper.web.pdf_file import send_pdf

blueprint = Blueprint("api_credit_notes", __name__, url_prefix="/api/v1")

Amount = Annotated[str, Field(description="Decimal in the currency's own exponent.", examples=["22.00"])]
AmountIn = Annotated[str, Field(max_length=40, examples=["22.00"])]
MOST_LINES = 1000


class LineIn(BaseModel):
    """A part of one line of the invoice."""

    model_config = ConfigDict(extra="forbid")

    position: Annotated[int, Field(ge=1, le=10**6, description="The line's place on the invoice.")]
    amount: Annotated[AmountIn, Field(description="Before tax; at most what is left of the line.")]


class CreditNoteIn(BaseModel):
    """What is taken back: lines with their amounts, or one amount with tax in it."""

    model_config = ConfigDict(extra="forbid")

    reason: CreditReason
    lines: Annotated[list[LineIn], Field(max_length=MOST_LINES)] = Field(default_factory=list)
    amount: AmountIn | None = None
    to: Annotated[
        Settlement | None,
        Field(description="Where money goes that was paid already; what was still due is taken off first."),
    ] = None
    memo: Annotated[str, Field(max_length=MOST_MEMO, pattern=r"^[^\x00]*$")] = ""
    key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00]*$",
            description="Your own name for it: a repeat under it issues nothing more.",
        ),
    ] = None


class LineOut(BaseModel):
    """One line, before tax; of an amount for the whole invoice `invoice_line` is null."""

    position: int
    invoice_line: str | None
    description: str
    amount: Amount


class TaxOut(BaseModel):
    """What is taken back at one tax rate; `name` and `percentage` are null where several had to be taken together."""

    name: str | None
    percentage: str | None
    net: Amount
    tax: Amount


class CreditNoteOut(BaseModel):
    """A credit note; `total = net + tax = reduction + credit + refund + out_of_band`."""

    id: str
    number: Annotated[str, Field(examples=["CN-000001"])]
    invoice: Annotated[str, Field(description="Id of the invoice.")]
    customer: str
    status: CreditNoteStatus
    reason: CreditReason
    memo: str
    key: str | None
    currency: str
    net: Amount
    tax: Amount
    taxes: Annotated[list[TaxOut], Field(description="By rate; they add up to net and tax. None without tax.")]
    total: Amount
    reduction: Annotated[str, Field(description="Taken off what was still due.")]
    credit: Annotated[str, Field(description="Granted as prepaid credit.")]
    refund: Annotated[str, Field(description="Refunded by Stripe.")]
    out_of_band: Annotated[str, Field(description="Given back past Stripe.")]
    issued_at: datetime
    issued_by: str
    voided_at: datetime | None
    content_digest: str
    stripe_id: str | None
    stripe_state: NoteSync
    stripe_problem: str | None
    lines: list[LineOut]


class CreditNotes(BaseModel):
    """All credit notes of one invoice, by number."""

    items: list[CreditNoteOut]


class NotesQuery(PageQuery):
    """Which credit notes."""

    customer: Annotated[str | None, Field(description="Id or key of the customer.")] = None


@blueprint.post("/invoices/<id_or_number>/credit-notes")
@endpoint("write", body=CreditNoteIn, answer=CreditNoteOut, status=201)
def issue(id_or_number: str, body: CreditNoteIn) -> CreditNoteOut:
    """Issue a credit note for an invoice; all of them together never exceed it, nor those of a line the line.

    It takes off what is still due first; the rest goes to prepaid credit, back by Stripe, or back past it.
    """
    with transaction() as session:
        currency = get_invoice(session, id_or_number).currency
        draft = CreditNoteDraft(
            reason=body.reason,
            lines=_read_lines(body.lines, currency),
            amount_minor=None if body.amount is None else parse_minor(body.amount, currency, "/amount"),
            to=body.to,
            memo=body.memo,
            key=body.key,
        )
        note = issue_credit_note(session, id_or_number, draft, by=acting_key(), now=web_context().clock.now())
        return _describe(session, note)


@blueprint.get("/invoices/<id_or_number>/credit-notes")
@endpoint("read", answer=CreditNotes)
def list_credit_notes_of(id_or_number: str) -> CreditNotes:
    """List the credit notes of an invoice, the void ones too."""
    with snapshot() as session:
        notes = list_notes(session, get_invoice(session, id_or_number).id)
        return CreditNotes(items=[_describe(session, note) for note in notes])


@blueprint.get("/credit-notes")
@endpoint("read", query=NotesQuery, answer=Page[CreditNoteOut])
def list_every_credit_note(query: NotesQuery) -> Page[CreditNoteOut]:
    """List credit notes, newest first."""
    with snapshot() as session:
        customer_id = get_customer(session, query.customer).id if query.customer else None
        rows = list_all_notes(session, customer_id=customer_id, before=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, lambda note: _describe(session, note), lambda note: note.id)


@blueprint.get("/credit-notes/<id_or_number>")
@endpoint("read", answer=CreditNoteOut)
def show_credit_note(id_or_number: str) -> CreditNoteOut:
    """Show a credit note by id or number."""
    with snapshot() as session:
        return _describe(session, get_note(session, id_or_number))


@blueprint.get("/credit-notes/<id_or_number>/pdf")
@requires("read")
@describe(answer={"type": "string", "format": "binary"}, answer_types=("application/pdf",))
def show_credit_note_pdf(id_or_number: str) -> Response:
    """Send a credit note as PDF, with where its money went."""
    with snapshot() as session:
        return send_pdf(credit_note_pdf(session, id_or_number))


@blueprint.get("/credit-notes/<id_or_number>/verification")
@endpoint("read", answer=VerificationOut)
def verify_one_credit_note(id_or_number: str) -> VerificationOut:
    """Recompute a credit note from its invoice and the credit notes before it; say for each line: equal, or not."""
    with snapshot() as session:
        note = get_note(session, id_or_number)
        return verification_of(note.number, note.currency, verify_credit_note(session, note.id))


@blueprint.post("/credit-notes/<id_or_number>/void")
@endpoint("write", answer=CreditNoteOut)
def void_one_credit_note(id_or_number: str) -> CreditNoteOut:
    """Void a credit note that only took off what was due, while its invoice is not paid; the number stays taken."""
    with transaction() as session:
        note = void_credit_note(session, id_or_number, by=acting_key(), now=web_context().clock.now())
        return _describe(session, note)


@blueprint.post("/credit-notes/<id_or_number>/retry-stripe")
@endpoint("write")
def retry_one_credit_note(id_or_number: str) -> None:
    """Try a credit note that was stopped on its way to Stripe again, after the cause was mended."""
    with transaction() as session:
        note = get_note(session, id_or_number)
        if not retry_credit_note(session, note.id, now=web_context().clock.now()):
            raise Conflict(f"credit note {note.number} is not stopped on its way to Stripe")


def _read_lines(lines: list[LineIn], currency: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for place, line in enumerate(lines):
        if line.position in found:
            raise InvalidInput.of(f"/lines/{place}/position", "is named twice; give one amount for each line")
        found[line.position] = parse_minor(line.amount, currency, f"/lines/{place}/amount")
    return found


def _describe(session: Session, note: CreditNote) -> CreditNoteOut:
    def money(amount_minor: int) -> str:
        return format_minor(amount_minor, note.currency)

    return CreditNoteOut(
        id=note.id,
        number=note.number,
        invoice=note.invoice_id,
        customer=note.customer_id,
        status=CreditNoteStatus(note.status),
        reason=CreditReason(note.reason),
        memo=note.memo,
        key=note.key,
        currency=note.currency,
        net=money(note.net_minor),
        tax=money(note.tax_minor),
        taxes=[
            TaxOut(
                name=one["name"],
                percentage=one["percentage"],
                net=money(one["net_minor"]),
                tax=money(one["tax_minor"]),
            )
            for one in note.proof["taxes"]
            if one["line"] is not None or one["tax_minor"]
        ],
        total=money(note.total_minor),
        reduction=money(note.reduction_minor),
        credit=money(note.credit_minor),
        refund=money(note.refund_minor),
        out_of_band=money(note.out_of_band_minor),
        issued_at=note.issued_at,
        issued_by=note.issued_by,
        voided_at=note.voided_at,
        content_digest=note.content_digest,
        stripe_id=note.stripe_id,
        stripe_state=NoteSync(note.stripe_state),
        stripe_problem=note.stripe_problem,
        lines=[
            LineOut(
                position=line.position,
                invoice_line=line.invoice_line_id,
                description=line.description,
                amount=money(line.amount_minor),
            )
            for line in list_of_lines(session, note.id)
        ],
    )
