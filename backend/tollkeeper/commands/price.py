"""`tollkeeper price`: what a rate card costs, without any server."""

import json
from decimal import Decimal
from typing import Any

import click

from tollkeeper.catalog.spec import PreviewCard
from tollkeeper.commands.documents import read_file
from tollkeeper.rating.decimals import read_decimal
from tollkeeper.rating.rate import rate
from tollkeeper.rating.reading import read_document
from tollkeeper.rating.statement import statement_of
from tollkeeper.rating.types import RatingOptions


class DecimalText(click.ParamType[Decimal]):
    """A decimal number, read exactly."""

    name = "decimal"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Read the number, or say why it is none."""
        try:
            return read_decimal(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def price() -> None:
    """Prices: what usage costs."""


@price.command("preview")
@click.option("--currency", required=True, help="ISO 4217 code, such as USD.")
@click.option("--rate-card", "file", required=True, help='JSON or YAML file; "-" reads standard input.')
@click.option("--quantity", required=True, type=DecimalText(), help="The period's whole quantity so far.")
@click.option("--already-billed-quantity", type=DecimalText(), help="What earlier invoices of the period billed of it.")
@click.option("--incomplete", is_flag=True, help="Price an invoice inside the period.")
@click.option("--event-count", default=0, type=click.IntRange(min=0), help="Events behind the quantity.")
def preview_command(
    currency: str,
    file: str,
    quantity: Decimal,
    *,
    already_billed_quantity: Decimal | None,
    incomplete: bool,
    event_count: int,
) -> None:
    """Price a rate card for a quantity and print the lines and their total as JSON."""
    card = read_document(PreviewCard, read_file(file), what="rate card")
    options = RatingOptions(
        event_count=event_count, already_billed_quantity=already_billed_quantity, complete=not incomplete
    )
    click.echo(json.dumps(statement_of(rate(card, currency, quantity, options=options), currency), indent=2))
