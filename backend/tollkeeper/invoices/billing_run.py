"""The billing run: invoice every payer whose charges fell due; it may be killed anywhere and run again.

Each invoice is one transaction: the charges, the lines, the number, the subscriptions' marks. What is on an
invoice depends on when charges fell due, not on when the run came: all charges that fell due within the grace
period after the payer's first due one go together. So a run after an outage makes the invoices that the runs
in time would have made, in order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import family_of, payer_of
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import TollkeeperError
from tollkeeper.invoices.draft import draft_invoice
from tollkeeper.invoices.finalize import finalize_invoice
from tollkeeper.invoices.settle import correct_subscription, settle_subscription
from tollkeeper.invoices.tables import Invoice
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.tables import Subscription

log = structlog.get_logger()

DEFAULT_GRACE = timedelta(hours=1)
PAGE = 500


@dataclass(slots=True)
class BillingReport:
    """What one run did."""

    invoices: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One step for one payer: whether anything was due, and the invoice that came of it, if any."""

    was_due: bool
    invoice: Invoice | None = None


def bill_due_periods(
    database: Database, *, now: datetime, grace: timedelta = DEFAULT_GRACE, most_invoices: int | None = None
) -> BillingReport:
    """Issue every invoice that is due; `grace` is how long late events are waited for after a period's end.

    Any number of processes may run it: they take turns at a payer. A payer that fails is reported and left
    as it was; the others are billed. A repeat issues nothing.
    """
    report = BillingReport()
    for payer_id in _due_payers(database, report, until=now - grace):
        while most_invoices is None or len(report.invoices) < most_invoices:
            try:
                with database.transaction() as session:
                    step = bill_payer(session, payer_id, now=now, grace=grace)
            except TollkeeperError as error:
                log.exception("billing_failed", payer=payer_id)
                report.failures[payer_id] = error.message
                break
            if not step.was_due:
                break
            if step.invoice is not None:
                report.invoices.append(step.invoice.number or step.invoice.id)
    return report


def bill_payer(session: Session, payer_id: str, *, now: datetime, grace: timedelta = DEFAULT_GRACE) -> Step:
    """Settle what fell due first for this payer's family and issue the invoice for it, in this transaction."""
    # Two runs at one payer take turns here; a lock that lets foreign keys to the row be checked meanwhile.
    payer = session.scalars(select(Customer).where(Customer.id == payer_id).with_for_update(key_share=True)).one()
    subscriptions = _subscriptions_of(session, [member.id for member in family_of(session, payer.id)])
    first_due = min((one.next_due_at for one in subscriptions if one.next_due_at is not None), default=None)
    if first_due is None or first_due > now - grace:
        return Step(was_due=False)
    until = first_due + grace
    due = [one for one in subscriptions if one.next_due_at is not None and one.next_due_at <= until]
    settled = [settle_subscription(session, one, payer.currency, until=until, now=now) for one in due]
    if not any(one.has_new_charges for one in settled):
        return Step(was_due=True)
    for one in subscriptions:
        if one not in due:
            correct_subscription(session, one, payer.currency, now=now)
    return Step(was_due=True, invoice=_issue(session, payer, now=now))


def bill_after_the_end(database: Database, *, now: datetime, grace: timedelta = DEFAULT_GRACE) -> BillingReport:
    """Invoice what came late for payers whose subscriptions have all ended: no further invoice would carry it."""
    report = BillingReport()
    with database.snapshot() as session:
        ended = session.scalars(
            select(Customer)
            .join(Subscription, Subscription.customer_id == Customer.id)
            .where(Subscription.next_due_at.is_(None), Subscription.billed_until <= now - grace)
            .order_by(Customer.id)
        ).unique()
        payers = list(dict.fromkeys(payer_of(session, customer).id for customer in ended))
    for payer_id in payers:
        with database.transaction() as session:
            invoice = _bill_ended_payer(session, payer_id, now=now)
        if invoice is not None:
            report.invoices.append(invoice.number or invoice.id)
    return report


def _bill_ended_payer(session: Session, payer_id: str, *, now: datetime) -> Invoice | None:
    payer = session.scalars(select(Customer).where(Customer.id == payer_id).with_for_update(key_share=True)).one()
    subscriptions = _subscriptions_of(session, [member.id for member in family_of(session, payer.id)])
    if any(one.next_due_at is not None for one in subscriptions):
        return None
    for one in subscriptions:
        correct_subscription(session, one, payer.currency, now=now)
    return _issue(session, payer, now=now)


def _issue(session: Session, payer: Customer, *, now: datetime) -> Invoice | None:
    invoice = draft_invoice(session, payer, now=now)
    return invoice and finalize_invoice(session, invoice.id, now=now)


def count_due(database: Database, *, now: datetime, grace: timedelta = DEFAULT_GRACE) -> int:
    """Return how many subscriptions wait for the run: its progress."""
    with database.snapshot() as session:
        return session.scalar(select(func.count()).where(Subscription.next_due_at <= now - grace)) or 0


def _subscriptions_of(session: Session, customer_ids: Sequence[str]) -> Sequence[Subscription]:
    return session.scalars(
        select(Subscription)
        .where(Subscription.customer_id.in_(customer_ids))
        .order_by(Subscription.id)
        .with_for_update()
    ).all()


def _due_payers(database: Database, report: BillingReport, *, until: datetime) -> Iterator[str]:
    """Yield each payer with something due once, in order of their first due charge, a page at a time."""
    seen: set[str] = set()
    while True:
        with database.snapshot() as session:
            page = _page_of_payers(session, seen, until=until)
        if not page:
            return
        for payer_id in page:
            seen.add(payer_id)
            yield payer_id
        if report.failures:
            # those that failed are due still and would fill every page
            log.warning("billing_left_payers", count=len(report.failures))


def _page_of_payers(session: Session, seen: set[str], *, until: datetime) -> list[str]:
    customers = session.scalars(
        select(Customer)
        .join(Subscription, Subscription.customer_id == Customer.id)
        .where(Subscription.next_due_at <= until)
        .order_by(Subscription.next_due_at, Subscription.id)
        .limit(PAGE + len(seen))
    ).unique()
    payers = (payer_of(session, customer).id for customer in customers)
    return [payer_id for payer_id in dict.fromkeys(payers) if payer_id not in seen]
