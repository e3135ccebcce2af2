"""`tollkeeper credit`: prepaid credit from the command line."""

import json
from datetime import datetime
from typing import Any

import click

from tollkeeper.commands.database import acting, now_of, open_database
from tollkeeper.credits.balance import balances_of
from tollkeeper.credits.grants import DEFAULT_PRIORITY, GrantDraft, grant_credit, void_grant
from tollkeeper.credits.ledger import Posted, list_ledger
from tollkeeper.credits.tables import GrantKind
from tollkeeper.customers.customers import get_customer
from tollkeeper.money import format_minor, parse_minor

PAGE_SIZE = 1000


@click.group()
def credit() -> None:
    """Prepaid credit: grant, void, balance, ledger."""


@credit.command("grant")
@click.argument("customer")
@click.argument("amount")
@click.option("--kind", required=True, type=click.Choice([kind.value for kind in GrantKind]), help="Who paid for it.")
@click.option("--name", help="Stands on invoices.")
@click.option("--priority", type=click.IntRange(0, 1000), default=DEFAULT_PRIORITY, help="Lower burns first.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    metavar="INSTANT",
    help="Expiry, like 2027-01-01T00:00:00Z; by default never.",
)
@click.option("--key", help="Your own name for it: a repeat under it grants once.")
def grant_command(customer: str, amount: str, kind: str, until: datetime | None, **terms: Any) -> None:
    """Grant AMOUNT, in the currency of CUSTOMER, as credit that its next invoices draw."""
    with acting() as session:
        minor = parse_minor(amount, get_customer(session, customer).currency, "/amount")
        draft = GrantDraft(kind=GrantKind(kind), amount_minor=minor, expires_at=until, **terms)
        made = grant_credit(session, customer, draft, now=now_of(session))
        click.echo(f"{made.id}  {format_minor(made.amount_minor, made.currency)} {made.currency}")


@credit.command("void")
@click.argument("grant_id")
def void_command(grant_id: str) -> None:
    """Take back what is left of GRANT_ID; what was drawn stays drawn."""
    with acting() as session:
        void_grant(session, grant_id, now=now_of(session))
    click.echo(f"{grant_id} is void")


@credit.command("balance")
@click.argument("customer")
def balance_command(customer: str) -> None:
    """Show what CUSTOMER may use now, by currency."""
    with open_database() as database, database.snapshot() as session:
        found = get_customer(session, customer)
        balances = {found.currency: 0} | balances_of(session, found.id, at=now_of(session))
    for currency, balance in sorted(balances.items()):
        click.echo(f"{format_minor(balance, currency)} {currency}")


@credit.command("ledger")
@click.argument("customer")
@click.option("--currency", help="By default the customer's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def ledger_command(customer: str, currency: str | None, *, as_json: bool) -> None:
    """List the transactions of CUSTOMER, newest first; the entries of each sum to zero."""
    with open_database() as database, database.snapshot() as session:
        found = get_customer(session, customer)
        before: int | None = None
        while page := list_ledger(session, found.id, currency or found.currency, before=before, limit=PAGE_SIZE):
            for posted in page:
                click.echo(json.dumps(_describe(posted)) if as_json else _lines(posted))
            before = page[-1].transaction.sequence


def _describe(posted: Posted) -> dict[str, object]:
    row = posted.transaction
    return {
        "sequence": row.sequence,
        "kind": row.kind,
        "currency": row.currency,
        "happened_at": row.happened_at.isoformat(),
        "reference": row.reference,
        "entries": [
            {"account": entry.account_id, "amount": format_minor(entry.amount_minor, row.currency)}
            for entry in posted.entries
        ],
    }


def _lines(posted: Posted) -> str:
    row = posted.transaction
    head = f"{row.sequence:>5}  {row.happened_at.isoformat()}  {row.kind:9} {row.reference or ''}".rstrip()
    entries = [
        f"       {format_minor(entry.amount_minor, row.currency):>14}  {entry.account_id}" for entry in posted.entries
    ]
    return "\n".join([head, *entries])
