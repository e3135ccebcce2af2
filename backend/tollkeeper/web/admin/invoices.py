"""Invoices: list, one with its lines and where it stands at Stripe."""

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.credit_note_reading import list_notes, room_of
from tollkeeper.invoices.credit_note_tables import CreditReason
from tollkeeper.invoices.mail import list_mails
from tollkeeper.invoices.pay import list_payments
from tollkeeper.invoices.pdf import pdf_of
from tollkeeper.invoices.reading import get_invoice, list_invoices, list_lines, members_on, shares_of, subtotals_of
from tollkeeper.invoices.states import MAY_BE_PAID, MAY_BECOME, OPEN_STATUSES, amount_due, list_acts
from tollkeeper.invoices.tables import InvoiceStatus
from tollkeeper.storage.ids import new_id
from tollkeeper.web.admin.forms import Form
from tollkeeper.web.admin.stripe_links import dashboard_link
from tollkeeper.web.context import snapshot
from tollkeeper.web.pdf_file import send_pdf
from tollkeeper.web.usage_file import send_usage

blueprint = Blueprint("invoices", __name__, url_prefix="/invoices")

PAGE_SIZE = 50


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List invoices, newest first, all or of one status."""
    status = request.args.get("status") or None
    if status is not None and status not in set(InvoiceStatus):
        raise InvalidInput.of("/status", f"choose from {', '.join(InvoiceStatus)}")
    with snapshot() as session:
        rows = list_invoices(session, status=status, before=request.args.get("after"), limit=PAGE_SIZE + 1)
        shown = rows[:PAGE_SIZE]
        customers = {row.customer_id: get_customer(session, row.customer_id) for row in shown}
    return render_template(
        "admin/invoices.html",
        invoices=shown,
        customers=customers,
        status=status,
        statuses=list(InvoiceStatus),
        next_after=shown[-1].id if len(rows) > PAGE_SIZE else None,
    )


@blueprint.get("/<id_or_number>/usage.csv")
def show_usage(id_or_number: str) -> Response:
    """Send the usage behind an invoice."""
    return send_usage(id_or_number)


@blueprint.get("/<id_or_number>/pdf")
def show_pdf(id_or_number: str) -> Response:
    """Send an issued invoice, or a credit note, as PDF."""
    with snapshot() as session:
        return send_pdf(pdf_of(session, id_or_number))


@blueprint.get("/<id_or_number>")
def show(id_or_number: str) -> ResponseReturnValue:
    """Show one invoice: lines by who used it, sub-totals, the total, Stripe."""
    return invoice_page(id_or_number, Form(texts={"key": new_id("form")}))


def invoice_page(id_or_number: str, form: Form, *, failed: str = "") -> str:
    """Render an invoice; `failed` names the act whose form is shown again, with what is wrong in it."""
    with snapshot() as session:
        invoice = get_invoice(session, id_or_number)
        lines = list_lines(session, invoice.id)
        subtotals = subtotals_of(session, lines)
        customer = get_customer(session, invoice.customer_id)
        members = members_on(session, lines)
        notes = list_notes(session, invoice.id)
        room = room_of(session, invoice, lines)
        mails = list_mails(session, invoice.id)
        payments, acts = list_payments(session, invoice.id), list_acts(session, invoice.id)
    holders = dict.fromkeys(line.customer_id for line in lines)
    lines_of = {holder: [line for line in lines if line.customer_id == holder] for holder in holders}
    return render_template(
        "admin/invoice.html",
        invoice=invoice,
        customer=customer,
        groups=[(members[holder], its_lines) for holder, its_lines in lines_of.items()],
        shares={line.id: shares_of(line, members) for line in lines},
        subtotals=subtotals,
        payments=payments,
        mails=mails,
        notes=notes,
        creditable=room.left if invoice.status in OPEN_STATUSES | {InvoiceStatus.PAID} else 0,
        reasons=list(CreditReason),
        acts=acts,
        due=amount_due(invoice) if invoice.status in MAY_BE_PAID else 0,
        can_be_paid=invoice.status in MAY_BE_PAID,
        can_be_given_up=invoice.status in OPEN_STATUSES,
        can_be_voided=InvoiceStatus.VOID in MAY_BECOME[InvoiceStatus(invoice.status)]
        and not (invoice.amount_paid_minor or invoice.amount_credited_minor),
        form=form,
        blank=Form(),
        failed=failed,
        stripe_link=dashboard_link(invoice),
    )
