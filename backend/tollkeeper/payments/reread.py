"""Ask Stripe about open invoices now and then: for webhooks that were missed, and where none can come in."""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict
from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.answers import Next
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.find import read_invoice
from tollkeeper.payments.outbox import StripeRefused
from tollkeeper.payments.tables import StripeSync, SyncState
from tollkeeper.payments.take_over import take_over
from tollkeeper.storage.session import Database

LEAST_AGE = timedelta(hours=1)
MOST_A_RUN = 100
OPEN_AT_STRIPE = ("open", "uncollectible")


def reread_open_invoices(database: Database, account: StripeAccount, *, now: datetime) -> int:
    """Read the open invoices that were read longest ago and take over what changed; return how many changed.

    Each is read at most once an hour, a hundred a run. No transaction is open during HTTP. Ends quietly when
    Stripe does not answer: the next run goes on.
    """
    changed = 0
    for invoice_id, stripe_id in _read_longest_ago(database, account, now=now):
        try:
            found = read_invoice(account, stripe_id)
        except StripeRefused as refused:
            if refused.refusal.next is not Next.STOP:
                break
            _note_problem(database, invoice_id, str(refused), now=now)
            continue
        with database.transaction() as session:
            outcome = take_over(session, invoice_id, found, None, now=now)
            _note_reading(session, invoice_id, now=now)
        changed += outcome.startswith("now ")
    return changed


def ask_again(session: Session, invoice: Invoice, *, now: datetime) -> None:
    """Let the next run read an invoice whatever was read when; raises Conflict if Stripe has nothing to say of it."""
    asked = session.scalars(
        update(StripeSync)
        .where(StripeSync.invoice_id == invoice.id, StripeSync.state == SyncState.DONE)
        .values(read_at=now - LEAST_AGE)
        .returning(StripeSync.invoice_id)
    ).all()
    if not asked or invoice.stripe_status not in OPEN_AT_STRIPE:
        raise Conflict(f"invoice {invoice.number or invoice.id} is not open at Stripe")


def _note_problem(database: Database, invoice_id: str, problem: str, *, now: datetime) -> None:
    """Show that Stripe does not know it; the others go on."""
    with database.transaction() as session:
        session.execute(update(Invoice).where(Invoice.id == invoice_id).values(stripe_problem=problem))
        _note_reading(session, invoice_id, now=now)


def _note_reading(session: Session, invoice_id: str, *, now: datetime) -> None:
    session.execute(update(StripeSync).where(StripeSync.invoice_id == invoice_id).values(read_at=now))


def _read_longest_ago(database: Database, account: StripeAccount, *, now: datetime) -> list[tuple[str, str]]:
    with database.snapshot() as session:
        rows = session.execute(
            select(Invoice.id, Invoice.stripe_id)
            .join(StripeSync, StripeSync.invoice_id == Invoice.id)
            .where(
                StripeSync.state == SyncState.DONE,
                StripeSync.read_at <= now - LEAST_AGE,
                Invoice.stripe_status.in_(OPEN_AT_STRIPE),
                Invoice.stripe_is_stand_in == account.is_stand_in,
            )
            .order_by(StripeSync.read_at)
            .limit(MOST_A_RUN)
        )
        return [(invoice_id, stripe_id) for invoice_id, stripe_id in rows if stripe_id is not None]
