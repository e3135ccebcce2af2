"""Invoices and credit notes as PDF: what was issued, and what was paid of it by now.

Nothing is stored: the document in the database is the original, and the same document in the same state is the
same bytes. Dates are those of the buyer's time zone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Customer, TaxExemption
from tollkeeper.errors import Conflict
from tollkeeper.invoices.credit_note_reading import get_document, get_note, list_of_lines
from tollkeeper.invoices.credit_note_tables import CreditNote, CreditNoteStatus
from tollkeeper.invoices.paper import Paper, Row, Sum
from tollkeeper.invoices.reading import get_invoice, list_lines, members_on, shares_of, subtotals_of
from tollkeeper.invoices.states import MAY_BE_PAID, amount_due
from tollkeeper.invoices.tables import TAX, Invoice, InvoiceLine, InvoiceStatus
from tollkeeper.money import LOCALE, write_money, write_number, write_price

INVOICE_COLUMNS = (("Description", 74.0), ("Period", 36.0), ("Quantity", 20.0), ("Unit price", 20.0), ("Amount", 24.0))
NOTE_COLUMNS = (("Description", 140.0), ("", 4.0), ("Amount", 30.0))
MARKS = {InvoiceStatus.PAID: "PAID", InvoiceStatus.VOID: "VOID"}
REVERSE_CHARGE = "Reverse charge: the tax is due by the customer."


@dataclass(frozen=True, slots=True)
class Pdf:
    """A printed document and the name of its file."""

    name: str
    content: bytes


def pdf_of(session: Session, id_or_number: str) -> Pdf:
    """Print the invoice or else the credit note of this id or number; raises NotFound, and Conflict for a draft."""
    found = get_document(session, id_or_number)
    return invoice_pdf(session, found.id) if isinstance(found, Invoice) else credit_note_pdf(session, found.id)


def invoice_pdf(session: Session, id_or_number: str) -> Pdf:
    """Print an invoice as it was issued, with what was paid of it; raises NotFound, and Conflict for a draft."""
    invoice = get_invoice(session, id_or_number)
    if invoice.number is None or invoice.issued_at is None:
        raise Conflict("a draft has no number and no PDF yet; issue it first")
    lines = list_lines(session, invoice.id)
    zone = invoice.buyer["time_zone"]
    paper = Paper(
        title="Invoice",
        number=invoice.number,
        seller=_seller(invoice.seller),
        buyer=_buyer(invoice.buyer),
        facts=[
            ("Number", invoice.number),
            ("Date", write_day(invoice.issued_at, zone)),
            ("Due", "–" if invoice.due_at is None else write_day(invoice.due_at, zone)),
            ("Period", f"{write_day(invoice.period_start, zone)} –"),
            ("", _last_day(invoice.period_end, zone)),
            ("Currency", invoice.currency),
        ],
        columns=INVOICE_COLUMNS,
        rows=_rows(session, invoice, lines),
        sums=_sums(session, invoice, lines),
        made_at=invoice.issued_at,
        mark=MARKS.get(InvoiceStatus(invoice.status), ""),
        remarks=_remarks(invoice),
    )
    return _print(paper)


def credit_note_pdf(session: Session, id_or_number: str) -> Pdf:
    """Print a credit note, with where its money went; raises NotFound."""
    note = get_note(session, id_or_number)
    invoice = get_invoice(session, note.invoice_id)
    paper = Paper(
        title="Credit note",
        number=note.number,
        seller=_seller(note.seller),
        buyer=_buyer(note.buyer),
        facts=[
            ("Number", note.number),
            ("Date", write_day(note.issued_at, note.buyer["time_zone"])),
            ("Of invoice", str(invoice.number)),
            ("Reason", note.reason.replace("_", " ")),
            ("Currency", note.currency),
        ],
        columns=NOTE_COLUMNS,
        rows=[
            Row(line.description, figures=(write_money(line.amount_minor, note.currency),))
            for line in list_of_lines(session, note.id)
        ],
        sums=_note_sums(note),
        made_at=note.issued_at,
        mark="VOID" if note.status == CreditNoteStatus.VOID else "",
        remarks=[note.memo] if note.memo else [],
    )
    return _print(paper)


def write_day(instant: datetime, zone: str) -> str:
    """Write the day of an instant in a time zone, as documents do: 2026-03-10."""
    return instant.astimezone(ZoneInfo(zone)).date().isoformat()


def _rows(session: Session, invoice: Invoice, lines: Sequence[InvoiceLine]) -> list[Row]:
    members = members_on(session, lines)
    holders = list(dict.fromkeys(line.customer_id for line in lines))
    rows = []
    for holder in holders:
        if holders != [invoice.customer_id]:
            rows.append(Row(_name(holder, invoice), is_heading=True))
        rows += [_row(line, invoice, members) for line in lines if line.customer_id == holder]
    return rows


def _row(line: InvoiceLine, invoice: Invoice, members: Mapping[str, Customer]) -> Row:
    zone = invoice.buyer["time_zone"]
    return Row(
        text=line.description,
        period=f"{write_day(line.period_start, zone)} – {_last_day(line.period_end, zone)}",
        figures=(
            write_number(line.quantity),
            "–" if line.unit_price is None else write_price(line.unit_price, invoice.currency),
            write_money(line.amount_minor, invoice.currency),
        ),
        notes=tuple(
            f"of which {_name(share.customer.id, invoice)}"
            f"{f': {write_number(share.quantity)} used' if line.billed_period_id else ''}"
            f" ({write_money(share.amount_minor, invoice.currency)})"
            for share in shares_of(line, members)
        ),
    )


def _sums(session: Session, invoice: Invoice, lines: Sequence[InvoiceLine]) -> list[Sum]:
    def money(amount_minor: int) -> str:
        return write_money(amount_minor, invoice.currency)

    subtotals = subtotals_of(session, lines)
    sums = [Sum(f"Sub-total {_name(one.customer_id, invoice)}", money(one.amount_minor)) for one in subtotals]
    sums = [] if len(sums) == 1 else sums
    sums.append(Sum("Total", money(invoice.total_minor), is_strong=True))
    if tax := sum(line.proof["tax_minor"] for line in lines if line.kind == TAX):
        sums.append(Sum("of which tax", money(tax)))
    if invoice.amount_credited_minor:
        sums.append(Sum("Taken off by credit notes", money(-invoice.amount_credited_minor)))
    if invoice.amount_paid_minor:
        sums.append(Sum("Paid", money(-invoice.amount_paid_minor)))
    due = amount_due(invoice) if invoice.status in MAY_BE_PAID else 0
    sums.append(Sum("Due", money(due), is_strong=True))
    return sums


def _note_sums(note: CreditNote) -> list[Sum]:
    taxed = [("Net", note.net_minor)] if note.tax_minor else []
    taxed += [(_name_of_tax(one, note.currency), one["tax_minor"]) for one in note.proof["taxes"] if one["tax_minor"]]
    ways = [
        ("Taken off what was due", note.reduction_minor),
        ("Added to prepaid credit", note.credit_minor),
        ("Refunded", note.refund_minor),
        ("Given back in another way", note.out_of_band_minor),
    ]
    return [
        *(Sum(label, write_money(amount, note.currency)) for label, amount in taxed),
        Sum("Total credited", write_money(note.total_minor, note.currency), is_strong=True),
        *(Sum(label, write_money(amount, note.currency)) for label, amount in ways if amount),
    ]


def _name_of_tax(taken: Mapping[str, Any], currency: str) -> str:
    if taken["line"] is None:
        return "Tax"
    return f"{taken['name']} {taken['percentage']} % on {write_money(taken['net_minor'], currency)}"


def _remarks(invoice: Invoice) -> list[str]:
    remarks = [REVERSE_CHARGE] if invoice.buyer["tax_exemption"] == TaxExemption.REVERSE else []
    if invoice.hosted_invoice_url and not invoice.stripe_is_stand_in and invoice.status in MAY_BE_PAID:
        remarks.append(f"Pay online: {invoice.hosted_invoice_url}")
    return remarks


def _seller(seller: Mapping[str, Any]) -> list[str]:
    ids = [f"Tax id {seller['tax_id']}"] if seller["tax_id"] else []
    return [seller["name"], *_address(seller["address"]), *ids, *filter(None, [seller["email"]])]


def _buyer(buyer: Mapping[str, Any]) -> list[str]:
    ids = [f"Tax id {one['value']}" for one in buyer["tax_ids"]]
    return [buyer["name"], *_address(buyer["address"]), *ids, *filter(None, [buyer["email"]])]


def _address(address: Mapping[str, str] | None) -> list[str]:
    parts = {name: text for name, text in (address or {}).items() if text}
    town = " ".join(parts[name] for name in ("postal_code", "city") if name in parts)
    country = parts.get("country", "")
    country = Locale(LOCALE).territories.get(country, country)
    return [one for one in (parts.get("line1"), parts.get("line2"), town, parts.get("state"), country) if one]


def _name(customer_id: str, invoice: Invoice) -> str:
    """Return what a customer was called when the invoice was issued."""
    return str(invoice.buyer["name"] if customer_id == invoice.customer_id else invoice.buyer["members"][customer_id])


def _last_day(end: datetime, zone: str) -> str:
    return write_day(end - timedelta(microseconds=1), zone)


def _print(paper: Paper) -> Pdf:
    from tollkeeper.invoices.pages import print_paper  # noqa: PLC0415  # fonts cost a third of every command's start

    return Pdf(f"{paper.number.replace('/', '-')}.pdf", print_paper(paper))
