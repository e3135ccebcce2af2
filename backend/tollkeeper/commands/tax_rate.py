"""`tollkeeper tax-rate`: rates by tax code and place."""

import json
from datetime import datetime
from typing import Any

import click

from tollkeeper.commands.database import acting, now_of, open_database
from tollkeeper.errors import InvalidInput
from tollkeeper.rating.decimals import plain, read_decimal
from tollkeeper.taxes.rates import TaxRateDraft, create_rate, end_rate, list_rates
from tollkeeper.taxes.tables import TaxRate

PAGE_SIZE = 1000
INSTANT = click.DateTime(["%Y-%m-%dT%H:%M:%S%z"])


@click.group()
def tax_rate() -> None:
    """Tax rates: create, list, end."""


@tax_rate.command("create")
@click.argument("name")
@click.argument("percentage")
@click.option("--country", required=True, help="Of the customer: ISO 3166-1, two letters.")
@click.option("--region", help="`state` of the customer's address; by default any.")
@click.option("--tax-code", help="Of rate cards; by default any.")
@click.option(
    "--from", "valid_from", type=INSTANT, metavar="INSTANT", help="Like 2027-01-01T00:00:00Z; by default ever."
)
@click.option("--until", "valid_to", type=INSTANT, metavar="INSTANT", help="Exclusive; by default for ever.")
def create_command(name: str, percentage: str, **terms: Any) -> None:
    """Make the rate NAME, which stands on invoices, of PERCENTAGE per cent; it never changes, but may be ended."""
    try:
        worth = read_decimal(percentage)
    except ValueError as error:
        raise InvalidInput.of("/percentage", str(error)) from None
    draft = TaxRateDraft(name=name, percentage=worth, **terms)
    with acting() as session:
        click.echo("  ".join(_describe(create_rate(session, draft, now=now_of(session))).values()))


@tax_rate.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_command(*, as_json: bool) -> None:
    """List tax rates, oldest first, ended ones too."""
    with open_database() as database, database.snapshot() as session:
        after: str | None = None
        while page := list_rates(session, after=after, limit=PAGE_SIZE):
            for rate in page:
                told = _describe(rate)
                click.echo(json.dumps(told) if as_json else "  ".join(told.values()))
            after = page[-1].id


@tax_rate.command("end")
@click.argument("rate")
@click.option("--at", type=INSTANT, metavar="INSTANT", help="Exclusive, now or later; by default now.")
def end_command(rate: str, *, at: datetime | None) -> None:
    """Let RATE hold no longer than until an instant; another one may hold from then on."""
    with acting() as session:
        now = now_of(session)
        ended = end_rate(session, rate, at=at or now, now=now)
        click.echo("  ".join(_describe(ended).values()))


def _describe(rate: TaxRate) -> dict[str, str]:
    return {
        "id": rate.id,
        "name": rate.name,
        "percentage": plain(rate.percentage),
        "country": rate.country,
        "region": rate.region or "-",
        "tax_code": rate.tax_code or "-",
        "valid_from": rate.valid_from.isoformat() if rate.valid_from else "-",
        "valid_to": rate.valid_to.isoformat() if rate.valid_to else "-",
    }
