"""A process that bills and syncs until it is killed or done: `-m tests.invoices.bill_and_sync URL STRIPE NOW`."""

import sys
from datetime import datetime

import stripe

from tests.fakes import API_KEY
from tollkeeper.app import create_schema
from tollkeeper.invoices.billing_run import bill_due_periods
from tollkeeper.payments.client import open_stripe
from tollkeeper.payments.sync import sync_due_invoices
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database


def main(database_url: str, stripe_url: str, instant: str) -> None:
    """Say "ready", then work."""
    stripe.HTTPClient.INITIAL_DELAY = stripe.HTTPClient.MAX_DELAY = 0
    database = Database(open_engine(database_url))
    create_schema(database)
    account = open_stripe(API_KEY, stripe_url, requests_per_second=1000)
    now = datetime.fromisoformat(instant)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    # a few at a time, so that both kinds of work are under way whenever the kill comes
    while bill_due_periods(database, now=now, most_invoices=5).invoices:
        sync_due_invoices(database, account, now=now, limit=3)
    sync_due_invoices(database, account, now=now, limit=1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
