"""The job that applies webhooks: read the object again, move our invoice forward, never back."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.answers import Next, wait_before_repeat
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.find import read_invoice
from tollkeeper.payments.outbox import StripeRefused
from tollkeeper.payments.tables import StripeEvent
from tollkeeper.payments.take_over import take_over
from tollkeeper.storage.session import Database

log = structlog.get_logger()

# An event may be here before our own commit that names the invoice.
UNKNOWN_INVOICE_PATIENCE = timedelta(hours=1)
MOST_A_RUN = 200


def apply_stripe_events(database: Database, account: StripeAccount, *, now: datetime) -> int:
    """Apply the events that wait, oldest first; return how many. No transaction is open during HTTP.

    An event only says that something changed; what is applied is the object as Stripe has it now. So events
    may come twice, late and in any order.
    """
    with database.snapshot() as session:
        waiting = session.scalars(
            select(StripeEvent)
            .where(StripeEvent.applied_at.is_(None), StripeEvent.due_at <= now)
            .order_by(StripeEvent.received_at)
            .limit(MOST_A_RUN)
        ).all()
    applied = 0
    for event in waiting:
        try:
            outcome = _apply(database, account, event, now=now)
        except StripeRefused as refused:
            if refused.refusal.next is Next.STOP_ACCOUNT:
                break
            _postpone(database, event, refused, now=now)
            continue
        if outcome is not None:
            _close(database, event, outcome, now=now)
            applied += 1
    return applied


def _apply(database: Database, account: StripeAccount, event: StripeEvent, *, now: datetime) -> str | None:
    if not event.type.startswith("invoice."):
        return "ignored: nothing of ours depends on this type"
    told = event.payload["data"]["object"]
    with database.snapshot() as session:
        invoice = _find_invoice(session, told)
    if invoice is None:
        return _unknown(database, event, now=now)
    if event.type == "invoice.deleted":
        return "ignored: only a draft can be deleted, and the sync looks after drafts"
    found = read_invoice(account, str(told["id"]))
    note = _problem_of(event.type)
    with database.transaction() as session:
        return take_over(session, invoice.id, found, note, now=now)


def _find_invoice(session: Session, told: dict[str, Any]) -> Invoice | None:
    by_stripe_id = session.scalars(select(Invoice).where(Invoice.stripe_id == str(told.get("id")))).first()
    if by_stripe_id is not None:
        return by_stripe_id
    ours = (told.get("metadata") or {}).get("tollkeeper_invoice_id")
    return session.get(Invoice, ours) if ours else None


def _unknown(database: Database, event: StripeEvent, *, now: datetime) -> str | None:
    if now - event.received_at > UNKNOWN_INVOICE_PATIENCE:
        return "ignored: the invoice is not one of ours"
    with database.transaction() as session:
        session.execute(update(StripeEvent).where(StripeEvent.id == event.id).values(due_at=now + timedelta(minutes=1)))
    return None


def _problem_of(event_type: str) -> str | None:
    return {
        "invoice.payment_failed": "a payment failed at Stripe; the invoice stays open",
        "invoice.payment_action_required": "the customer has to confirm the payment at Stripe",
        "invoice.finalization_failed": "Stripe could not finalize the invoice",
    }.get(event_type)


def _postpone(database: Database, event: StripeEvent, refused: StripeRefused, *, now: datetime) -> None:
    log.warning("stripe_event_postponed", event_id=event.id, reason=refused.refusal.code)
    if refused.refusal.next is Next.STOP:
        _close(database, event, f"failed: {refused.refusal.reason}", now=now)
        return
    wait = wait_before_repeat(event.failures + 1, refused.refusal)
    with database.transaction() as session:
        session.execute(
            update(StripeEvent)
            .where(StripeEvent.id == event.id)
            .values(due_at=now + wait, failures=StripeEvent.failures + 1)
        )


def _close(database: Database, event: StripeEvent, outcome: str, *, now: datetime) -> None:
    with database.transaction() as session:
        session.execute(update(StripeEvent).where(StripeEvent.id == event.id).values(applied_at=now, outcome=outcome))
