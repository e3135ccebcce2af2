"""Processes that bill and sync until they are killed or done: `-m tests.invoices.bill_and_sync URL STRIPE`.

A line of the input is the instant of a run. It is forked, so that only the first pays for the imports, and says
"ready" when it begins. The next line says whether to "kill" it or to "wait" for its end; "ended STATUS" answers.
"""

import os
import signal
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


def main(database_url: str, stripe_url: str) -> None:
    """Fork a run for each instant, one after the other."""
    stripe.HTTPClient.INITIAL_DELAY = stripe.HTTPClient.MAX_DELAY = 0
    for instant in sys.stdin:
        child = os.fork()
        if child == 0:
            bill_and_sync(database_url, stripe_url, datetime.fromisoformat(instant.strip()))
            os._exit(0)
        if sys.stdin.readline().strip() == "kill":
            os.kill(child, signal.SIGKILL)  # it was not waited for, so the number is still its own
        say(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


def bill_and_sync(database_url: str, stripe_url: str, now: datetime) -> None:
    """Say "ready", then work."""
    database = Database(open_engine(database_url))
    create_schema(database)
    account = open_stripe(API_KEY, stripe_url, requests_per_second=1000)
    say("ready")
    # a few at a time, so that both kinds of work are under way whenever the kill comes
    while bill_due_periods(database, now=now, most_invoices=5).invoices:
        sync_due_invoices(database, account, now=now, limit=3)
    sync_due_invoices(database, account, now=now, limit=1000)


def say(line: str) -> None:
    """Write one line at once."""
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
