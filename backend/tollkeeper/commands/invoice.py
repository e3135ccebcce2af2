"""`tollkeeper invoice`: list, show, print, verify and export invoices; what is done with issued ones is payments.py."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from tollkeeper.commands.database import open_database
from tollkeeper.commands.payments import COMMANDS
from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.credit_note_reading import get_document
from tollkeeper.invoices.export import export_invoice
from tollkeeper.invoices.export_note import export_credit_note
from tollkeeper.invoices.pdf import pdf_of
from tollkeeper.invoices.reading import get_invoice, list_invoices, list_lines, members_on, shares_of, subtotals_of
from tollkeeper.invoices.tables import Invoice, InvoiceLine, InvoiceStatus
from tollkeeper.invoices.verify import verify_invoice
from tollkeeper.invoices.verify_note import verify_credit_note
from tollkeeper.money import format_minor

PAGE_SIZE = 1000


@click.group()
def invoice() -> None:
    """Invoices: list, show, print, verify, export, pay, void."""


for command in COMMANDS:
    invoice.add_command(command)


@invoice.command("list")
@click.option("--status", type=click.Choice([status.value for status in InvoiceStatus]), help="Only these.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_command(status: str | None, *, as_json: bool) -> None:
    """List invoices, newest first."""
    with open_database() as database, database.snapshot() as session:
        before: str | None = None
        while page := list_invoices(session, status=status, before=before, limit=PAGE_SIZE):
            for one in page:
                described = _describe(one)
                click.echo(json.dumps(described) if as_json else "  ".join(str(value) for value in described.values()))
            before = page[-1].id


@invoice.command("show")
@click.argument("number")
def show_command(number: str) -> None:
    """Show the invoice NUMBER (or id) with its lines and a sub-total for each customer."""
    with open_database() as database, database.snapshot() as session:
        found = get_invoice(session, number)
        lines = list_lines(session, found.id)
        for name, value in _describe(found).items():
            click.echo(f"{name:16} {value}")
        members = members_on(session, lines)
        for customer_id in dict.fromkeys(line.customer_id for line in lines):
            click.echo(f"\n{members[customer_id].name} ({members[customer_id].key})")
            for line in lines:
                if line.customer_id == customer_id:
                    _show_line(line, found.currency, members)
        click.echo("")
        for subtotal in subtotals_of(session, lines):
            amount = format_minor(subtotal.amount_minor, found.currency)
            click.echo(f"  {amount:>14}  sub-total {subtotal.customer_name} ({subtotal.customer_key})")
        click.echo(f"\n{format_minor(found.total_minor, found.currency):>16}  {found.currency} total")


@invoice.command("verify")
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def verify_command(number: str, *, as_json: bool) -> None:
    """Recompute NUMBER, an invoice or a credit note; exit 1 if a line differs.

    An invoice from the raw events and the stored plan, a credit note from its invoice and the credit notes before it.
    """
    with open_database() as database, database.snapshot() as session:
        found = get_document(session, number)
        currency = found.currency
        verify = verify_invoice if isinstance(found, Invoice) else verify_credit_note
        findings = verify(session, found.id)
    for finding in findings:
        amount = format_minor(finding.amount_minor, currency)
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "position": finding.position,
                        "description": finding.description,
                        "amount": amount,
                        "verdict": finding.verdict,
                        "detail": finding.detail,
                    }
                )
            )
        else:
            detail = f" ({finding.detail})" if finding.detail else ""
            click.echo(f"{finding.verdict:8} {amount:>14}  {finding.description}{detail}")
    sys.exit(0 if all(finding.is_equal for finding in findings) else 1)


@invoice.command("export")
@click.argument("number")
@click.option(
    "--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder to write; by default NUMBER."
)
def export_command(number: str, folder: Path | None) -> None:
    """Write a folder with everything behind NUMBER, an invoice or a credit note.

    It is checked by `python docs/check_invoice.py FOLDER`.
    """
    with open_database() as database, database.snapshot() as session:
        found = get_document(session, number)
        export = export_invoice if isinstance(found, Invoice) else export_credit_note
        written = export(session, found.id, folder or Path(number))
    click.echo(f"{written} written; check it with: python docs/check_invoice.py {written}")


@invoice.command("pdf")
@click.argument("number")
@click.option(
    "--to", "path", type=click.Path(path_type=Path, dir_okay=False), help="File to write; by default NUMBER.pdf."
)
def pdf_command(number: str, path: Path | None) -> None:
    """Write the issued invoice or the credit note NUMBER as PDF; the same document is always the same bytes."""
    with open_database() as database, database.snapshot() as session:
        pdf = pdf_of(session, number)
    path = path or Path(pdf.name)
    path.write_bytes(pdf.content)
    click.echo(f"{path} written")


def _show_line(line: InvoiceLine, currency: str, members: Mapping[str, Customer]) -> None:
    click.echo(f"  {format_minor(line.amount_minor, currency):>14}  {line.description}")
    for share in shares_of(line, members):
        amount = format_minor(share.amount_minor, currency)
        click.echo(f"  {'':14}    of which {share.customer.name} {format(share.quantity, 'f')} used ({amount})")


def _describe(one: Invoice) -> dict[str, object]:
    return {
        "number": one.number or one.id,
        "customer": one.buyer.get("key") or one.customer_id,
        "status": one.status,
        "currency": one.currency,
        "total": format_minor(one.total_minor, one.currency),
        "issued_at": one.issued_at.isoformat() if one.issued_at else None,
        "stripe_id": one.stripe_id,
        "stripe_status": ("stand-in: " if one.stripe_is_stand_in else "") + (one.stripe_status or "-"),
    }
