"""`tollkeeper credit-note`: issue, void, list and show credit notes."""

import json
from typing import Any

import click
from sqlalchemy.orm import Session

from tollkeeper.commands.database import acting, acting_user, now_of, open_database
from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.credit_note_reading import get_note, list_all_notes, list_of_lines
from tollkeeper.invoices.credit_note_tables import CreditNote, CreditReason, Settlement
from tollkeeper.invoices.credit_notes import CreditNoteDraft, issue_credit_note, void_credit_note
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.money import format_minor, parse_minor
from tollkeeper.payments.push_credit_note import retry_credit_note

PAGE_SIZE = 1000


@click.group()
def credit_note() -> None:
    """Credit notes: issue, void, list, show. `tollkeeper invoice` verifies, exports and prints them, too."""


@credit_note.command("issue")
@click.argument("invoice")
@click.option(
    "--reason", required=True, type=click.Choice([one.value for one in CreditReason]), help="Why, in Stripe's words."
)
@click.option("--amount", help="To take back of the whole invoice, with tax in it.")
@click.option(
    "--line", "lines", multiple=True, metavar="POSITION=AMOUNT", help="To take back of a line, before tax; repeat it."
)
@click.option("--to", type=click.Choice([one.value for one in Settlement]), help="Where goes what was paid already.")
@click.option("--memo", default="", help="Stands on the credit note.")
@click.option("--key", help="Your own name for it: a repeat under it issues nothing more.")
def issue_command(
    invoice: str, reason: str, amount: str | None, lines: tuple[str, ...], to: str | None, **terms: Any
) -> None:
    """Issue a credit note for INVOICE: what is still due is taken off first, the rest goes where --to says."""
    with acting() as session:
        currency = get_invoice(session, invoice).currency
        draft = CreditNoteDraft(
            reason=CreditReason(reason),
            lines=_read_lines(lines, currency),
            amount_minor=None if amount is None else parse_minor(amount, currency, "/amount"),
            to=None if to is None else Settlement(to),
            **terms,
        )
        note = issue_credit_note(session, invoice, draft, by=acting_user(), now=now_of(session))
        click.echo(f"{note.number}  {format_minor(note.total_minor, note.currency)} {note.currency}")


def _read_lines(lines: tuple[str, ...], currency: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for text in lines:
        position, _, amount = text.partition("=")
        if not (position.isascii() and position.isdigit() and amount):
            raise InvalidInput.of("/lines", f"{text!r} is no POSITION=AMOUNT, such as 2=7.50")
        if int(position) in found:
            raise InvalidInput.of(f"/lines/{position}", "is named twice; give one amount for each line")
        found[int(position)] = parse_minor(amount, currency, f"/lines/{position}")
    return found


@credit_note.command("void")
@click.argument("number")
def void_command(number: str) -> None:
    """Void NUMBER, which only took off what was due, while its invoice is not paid; the number stays taken."""
    with acting() as session:
        void_credit_note(session, number, by=acting_user(), now=now_of(session))
    click.echo(f"{number} is void")


@credit_note.command("list")
@click.option("--customer", help="Only of this customer (key or id).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_command(customer: str | None, *, as_json: bool) -> None:
    """List credit notes, newest first."""
    with open_database() as database, database.snapshot() as session:
        customer_id = get_customer(session, customer).id if customer else None
        before: str | None = None
        while page := list_all_notes(session, customer_id=customer_id, before=before, limit=PAGE_SIZE):
            for note in page:
                told = _describe(session, note)
                click.echo(json.dumps(told) if as_json else "  ".join(told.values()))
            before = page[-1].id


@credit_note.command("show")
@click.argument("number")
def show_command(number: str) -> None:
    """Show NUMBER with its lines, its tax by rate, and where it went."""
    with open_database() as database, database.snapshot() as session:
        note = get_note(session, number)
        for name, value in _describe(session, note).items():
            click.echo(f"{name:16} {value}")
        click.echo("")
        for line in list_of_lines(session, note.id):
            _show(note, line.amount_minor, line.description)
        for one in note.proof["taxes"]:
            if one["tax_minor"]:
                rate = f"{one['name']} {one['percentage']} %" if one["line"] else "tax"
                _show(note, one["tax_minor"], f"{rate} on {format_minor(one['net_minor'], note.currency)}")
        _show(note, note.total_minor, f"{note.currency} total")
        for way in ("reduction", "credit", "refund", "out_of_band"):
            if amount := getattr(note, f"{way}_minor"):
                _show(note, amount, f"  {way.replace('_', ' ')}")


@credit_note.command("retry-stripe")
@click.argument("number")
def retry_command(number: str) -> None:
    """Try NUMBER, which was stopped on its way to Stripe, again, after the cause was mended."""
    with acting() as session:
        note = get_note(session, number)
        if not retry_credit_note(session, note.id, now=now_of(session)):
            raise Conflict(f"credit note {note.number} is not stopped on its way to Stripe")


def _show(note: CreditNote, amount_minor: int, text: str) -> None:
    click.echo(f"  {format_minor(amount_minor, note.currency):>14}  {text}")


def _describe(session: Session, note: CreditNote) -> dict[str, str]:
    return {
        "number": note.number,
        "invoice": get_invoice(session, note.invoice_id).number or note.invoice_id,
        "customer": note.buyer["key"],
        "status": note.status,
        "reason": note.reason,
        "currency": note.currency,
        "net": format_minor(note.net_minor, note.currency),
        "tax": format_minor(note.tax_minor, note.currency),
        "total": format_minor(note.total_minor, note.currency),
        "issued_at": note.issued_at.isoformat(),
    }
