"""What `tollkeeper invoice` does with an issued invoice: pay it, give up on it, void it, show what was done."""

import json
from datetime import datetime
from typing import Any

import click

from tollkeeper.commands.database import acting, acting_user, now_of, open_database
from tollkeeper.invoices.close_invoice import AfterVoid, void_invoice
from tollkeeper.invoices.pay import PaymentDraft, list_payments, mark_uncollectible, record_payment
from tollkeeper.invoices.payment_tables import InvoicePayment
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.states import list_acts
from tollkeeper.money import format_minor, parse_minor
from tollkeeper.payments.reread import ask_again


@click.command("pay")
@click.argument("number")
@click.option("--amount", help="By default all that is due.")
@click.option("--reference", help="Such as that of the bank transfer.")
@click.option(
    "--received-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    metavar="INSTANT",
    help="When it came, like 2027-01-01T00:00:00Z; by default now.",
)
@click.option("--key", help="Your own name for it: a repeat under it records nothing more.")
def pay_command(number: str, amount: str | None, received_at: datetime | None, **terms: Any) -> None:
    """Record money that came for the invoice NUMBER past Stripe; when nothing is due any more, it is paid."""
    with acting() as session:
        currency = get_invoice(session, number).currency
        minor = None if amount is None else parse_minor(amount, currency, "/amount")
        draft = PaymentDraft(amount_minor=minor, received_at=received_at, **terms)
        payment = record_payment(session, number, draft, by=acting_user(), now=now_of(session))
        click.echo("  ".join(_words(payment, currency)))


@click.command("payments")
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def payments_command(number: str, *, as_json: bool) -> None:
    """List the payments for the invoice NUMBER, those by Stripe too."""
    with open_database() as database, database.snapshot() as session:
        found = get_invoice(session, number)
        for one in list_payments(session, found.id):
            click.echo(
                json.dumps(_describe(one, found.currency)) if as_json else "  ".join(_words(one, found.currency))
            )


@click.command("history")
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def history_command(number: str, *, as_json: bool) -> None:
    """List what was done to the invoice NUMBER, by whom and when, oldest first."""
    with open_database() as database, database.snapshot() as session:
        for act in list_acts(session, get_invoice(session, number).id):
            told = {
                "happened_at": act.happened_at.isoformat(),
                "kind": act.kind,
                "from_status": act.from_status,
                "to_status": act.to_status,
                "by": act.by,
                "note": act.note,
            }
            click.echo(json.dumps(told) if as_json else "  ".join(told.values()).rstrip())


@click.command("mark-uncollectible")
@click.argument("number")
def mark_uncollectible_command(number: str) -> None:
    """Give up on what is due for the invoice NUMBER, as a bad debt; it may still be paid."""
    with acting() as session:
        mark_uncollectible(session, number, by=acting_user(), now=now_of(session))
    click.echo(f"{number} is uncollectible")


@click.command("void")
@click.argument("number")
@click.option("--forgive", is_flag=True, help="Never bill its charges; by default they go on the next invoice.")
def void_command(number: str, *, forgive: bool) -> None:
    """Void the issued invoice NUMBER, of which nothing was paid; its number stays taken."""
    with acting() as session:
        then = AfterVoid.FORGIVE if forgive else AfterVoid.BILL_AGAIN
        void_invoice(session, number, then=then, by=acting_user(), now=now_of(session))
    click.echo(f"{number} is void")


@click.command("reread-stripe")
@click.argument("number")
def reread_command(number: str) -> None:
    """Let the next run of the job ask Stripe about the invoice NUMBER, whose webhooks may have been missed."""
    with acting() as session:
        ask_again(session, get_invoice(session, number), now=now_of(session))


COMMANDS: tuple[click.Command, ...] = (
    pay_command,
    payments_command,
    history_command,
    mark_uncollectible_command,
    void_command,
    reread_command,
)


def _describe(one: InvoicePayment, currency: str) -> dict[str, str | None]:
    return {
        "id": one.id,
        "received_at": one.received_at.isoformat(),
        "amount": format_minor(one.amount_minor, currency),
        "currency": currency,
        "method": one.method,
        "reference": one.reference,
        "key": one.key,
        "recorded_by": one.recorded_by,
    }


def _words(one: InvoicePayment, currency: str) -> list[str]:
    return [value or "-" for value in _describe(one, currency).values()]
