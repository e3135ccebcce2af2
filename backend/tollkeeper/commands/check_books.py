"""`tollkeeper check-books`: every invariant of billing, as a query that must find nothing."""

import sys

import click

from tollkeeper.commands.database import open_database
from tollkeeper.commands.stripe_account import account_of
from tollkeeper.config import load_settings
from tollkeeper.invoices.books import check_books as find_problems
from tollkeeper.payments.books import check_stripe


@click.command("check-books")
@click.option("--stripe/--no-stripe", "with_stripe", default=True, help="Compare with Stripe, too, where a key is set.")
def check_books(*, with_stripe: bool) -> None:
    """Check that the books are in order; print what is not and exit 1.

    Lines add up to totals, numbers have no gap, no period is billed twice, none is missing, issued documents
    are unchanged, paid means paid, and Stripe's totals are ours.
    """
    with open_database() as database:
        account = account_of(load_settings(), database) if with_stripe else None
        with database.snapshot() as session:
            problems = find_problems(session)
            if account is not None:
                problems += check_stripe(session, account)
    for problem in problems:
        click.echo(problem)
    if problems:
        sys.exit(1)
    click.echo("The books are in order" + (", Stripe's too." if account else "."))
