"""`tollkeeper bill`: the billing run, by hand."""

import json
import sys
from datetime import timedelta

import click

from tollkeeper.clock import SystemClock
from tollkeeper.commands.database import open_database
from tollkeeper.config import load_settings
from tollkeeper.invoices.billing_run import bill_after_the_end, bill_due_periods, count_due
from tollkeeper.storage.test_clock import read_offset

STEP = 100


@click.group()
def bill() -> None:
    """Billing: issue what is due."""


@bill.command("run")
@click.option("--after-end", is_flag=True, help="Also what came late for payers whose subscriptions have all ended.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def run_command(*, after_end: bool, as_json: bool) -> None:
    """Issue every invoice that is due now, as the job does; a repeat issues nothing.

    May be stopped at any time, and run beside the server: nothing is billed twice.
    """
    grace = timedelta(seconds=load_settings().late_event_grace_seconds)
    numbers: list[str] = []
    failures: dict[str, str] = {}
    with open_database() as database:
        with database.snapshot() as session:
            now = SystemClock().now() + read_offset(session)
        due = count_due(database, now=now, grace=grace)
        click.echo(f"{due} subscriptions are due", err=True)
        while True:
            report = bill_due_periods(database, now=now, grace=grace, most_invoices=STEP)
            numbers += report.invoices
            failures |= report.failures
            if len(report.invoices) < STEP:
                break
            left = count_due(database, now=now, grace=grace)
            click.echo(f"{len(numbers)} invoices issued, {left} subscriptions to go", err=True)
        if after_end:
            numbers += bill_after_the_end(database, now=now, grace=grace).invoices
    if as_json:
        click.echo(json.dumps({"invoices": numbers, "failures": failures}))
    else:
        click.echo(f"{len(numbers)} invoices issued" + (f": {numbers[0]} to {numbers[-1]}" if numbers else ""))
    for payer, reason in failures.items():
        click.echo(f"Not billed: {payer}: {reason}", err=True)
    sys.exit(1 if failures else 0)
