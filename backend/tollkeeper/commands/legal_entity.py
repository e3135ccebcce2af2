"""`tollkeeper legal-entity`: who sells, its numbers, terms and taxes."""

import json

import click

from tollkeeper.commands.database import acting, open_database
from tollkeeper.commands.documents import read_file
from tollkeeper.invoices.legal_entities import (
    MOST_DAYS,
    get_legal_entity,
    list_legal_entities,
    save_legal_entity,
    set_terms,
)
from tollkeeper.rating.reading import read_document
from tollkeeper.web.api.legal_entities import LegalEntityIn, LegalEntityOut


@click.group()
def legal_entity() -> None:
    """Legal entities: list, show, save, who sells to whom."""


@legal_entity.command("list")
def list_command() -> None:
    """List the legal entities: key, prefix of numbers, tax mode, name."""
    with open_database() as database, database.snapshot() as session:
        for one in list_legal_entities(session):
            click.echo(f"{one.key:24}  {one.number_prefix:12}  {one.tax_mode:6}  {one.name}")


@legal_entity.command("show")
@click.argument("key")
def show_command(key: str) -> None:
    """Print a legal entity as JSON."""
    with open_database() as database, database.snapshot() as session:
        shown = LegalEntityOut.model_validate(get_legal_entity(session, key), from_attributes=True)
    click.echo(json.dumps(shown.model_dump(mode="json"), indent=2))


@legal_entity.command("save")
@click.argument("key")
@click.argument("file")
def save_command(key: str, file: str) -> None:
    """Make the legal entity KEY, or change the fields of it that FILE names (JSON or YAML, "-" for standard input).

    The fields are those of PUT /api/v1/legal-entities/{key}. Issued documents keep what they say.
    """
    changes = read_document(LegalEntityIn, read_file(file), what="legal entity").model_dump(exclude_unset=True)
    with acting() as session:
        save_legal_entity(session, key, changes)
    click.echo(f"{key}: {', '.join(changes) or 'nothing'} set")


@legal_entity.command("terms")
@click.argument("customer")
@click.option("--legal-entity", "seller", help="Who sells to it; by default `default`.")
@click.option("--days", type=click.IntRange(0, MOST_DAYS), help="In how many days it pays; by default the seller's.")
def terms_command(customer: str, seller: str | None, days: int | None) -> None:
    """Set who sells to CUSTOMER and in how many days it pays; what is not given is left to the legal entity."""
    with acting() as session:
        set_terms(session, customer, legal_entity=seller, payment_term_days=days)
    click.echo(f"{customer}: sold to by {seller or 'default'}, pays in {'the usual' if days is None else days} days")
