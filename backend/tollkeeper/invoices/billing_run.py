"""The billing run: invoice every payer whose charges fell due; it may be killed anywhere and run again.

Some payers at a time are one transaction: their charges, lines and numbers, and the subscriptions' marks. What is
on an invoice depends on when charges fell due, not on when the run came: all charges that fell due within the grace
period after the payer's first due one go together. Payers are taken in the order of their first due charge, and only
those that are within a grace period of the first one go into one transaction. So the order of the numbers is that of
the calendar, too, and a run after an outage or a kill makes the invoices that the runs in time would have made.
"""

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import families_of, payer_of
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import TollkeeperError
from tollkeeper.invoices.accounts import open_accounts
from tollkeeper.invoices.draft import draft_bills
from tollkeeper.invoices.finalize import issue_bills
from tollkeeper.invoices.settle import Task, settle_accounts
from tollkeeper.invoices.tables import ChargeKind, Invoice
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.coverage import Coverage
from tollkeeper.subscriptions.tables import Subscription

log = structlog.get_logger()

DEFAULT_GRACE = timedelta(hours=1)
# The rows of so many are locked for about half a second; one by one a payer costs four times as much.
PAYERS_AT_ONCE = 50
PAGE = 200


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


@dataclass(frozen=True, slots=True)
class Family:
    """A payer and all whom it pays for, with the payer first, and all their subscriptions."""

    members: Sequence[Customer]
    subscriptions: Sequence[Subscription]

    @property
    def payer(self) -> Customer:
        """Return who pays."""
        return self.members[0]

    @property
    def first_due(self) -> datetime | None:
        """Return when the first charge that is not billed falls due; None if none ever will."""
        return min((one.next_due_at for one in self.subscriptions if one.next_due_at is not None), default=None)


def bill_due_periods(
    database: Database, *, now: datetime, grace: timedelta = DEFAULT_GRACE, most_invoices: int | None = None
) -> BillingReport:
    """Issue every invoice that is due; `grace` is how long late events are waited for after a period's end.

    Any number of processes may run it: they take turns at a payer. A payer that fails is reported and left
    as it was; the others are billed. A repeat issues nothing.
    """
    report = BillingReport()
    while most_invoices is None or len(report.invoices) < most_invoices:
        most = PAYERS_AT_ONCE if most_invoices is None else min(PAYERS_AT_ONCE, most_invoices - len(report.invoices))
        with database.snapshot() as session:
            payer_ids = _next_payers(session, report.failures.keys(), most, until=now - grace, grace=grace)
        if not payer_ids:
            break
        _bill_together(database, payer_ids, report, now=now, grace=grace)
    return report


def _bill_together(
    database: Database, payer_ids: Sequence[str], report: BillingReport, *, now: datetime, grace: timedelta
) -> None:
    """Bill payers in one transaction; if one fails, each in one of its own."""
    try:
        with database.transaction() as session:
            steps = bill_payers(session, payer_ids, now=now, grace=grace)
    except TollkeeperError as error:
        if len(payer_ids) > 1:
            for payer_id in payer_ids:
                _bill_together(database, [payer_id], report, now=now, grace=grace)
            return
        log.warning("billing_failed", payer=payer_ids[0], reason=error.message)
        report.failures[payer_ids[0]] = error.message
        return
    report.invoices += [step.invoice.number or step.invoice.id for step in steps if step.invoice is not None]


def bill_payer(session: Session, payer_id: str, *, now: datetime, grace: timedelta = DEFAULT_GRACE) -> Step:
    """Settle what fell due first for this payer's family and issue the invoice for it, in this transaction."""
    return bill_payers(session, [payer_id], now=now, grace=grace)[0]


def bill_payers(
    session: Session, payer_ids: Sequence[str], *, now: datetime, grace: timedelta = DEFAULT_GRACE
) -> list[Step]:
    """Do one step for each of the payers, in this transaction; numbers are in their order."""
    families = lock_families(session, payer_ids)
    due = {one.payer.id: one for one in families if one.first_due is not None and one.first_due <= now - grace}
    rows = settle_accounts(session, _tasks(session, list(due.values()), grace), now=now)
    begun = {row.subscription_id for row in rows if row.kind == ChargeKind.CHARGE}
    called_for = [one for one in due.values() if any(sub.id in begun for sub in one.subscriptions)]
    bills = draft_bills(session, [one.members for one in called_for], now=now)
    issue_bills(session, bills)
    invoices = {bill.payer.id: bill.invoice for bill in bills}
    return [Step(payer_id in due, invoices.get(payer_id)) for payer_id in payer_ids]


def lock_families(session: Session, payer_ids: Sequence[str]) -> list[Family]:
    """Return the families of payers, in their order, with the payers and all subscriptions locked."""
    # Two runs at one payer take turns here; a lock that lets foreign keys to the row be checked meanwhile.
    # All runs lock in one order, so that none waits for another that waits for it.
    session.execute(
        select(Customer.id).where(Customer.id.in_(payer_ids)).order_by(Customer.id).with_for_update(key_share=True)
    ).all()
    families = families_of(session, payer_ids)
    family_of_customer = {member.id: payer_id for payer_id, members in families.items() for member in members}
    subscriptions: dict[str, list[Subscription]] = {payer_id: [] for payer_id in payer_ids}
    for one in session.scalars(
        select(Subscription)
        .where(Subscription.customer_id.in_(family_of_customer))
        .order_by(Subscription.id)
        .with_for_update()
    ):
        subscriptions[family_of_customer[one.customer_id]].append(one)
    return [Family(families[payer_id], subscriptions[payer_id]) for payer_id in payer_ids]


def _tasks(session: Session, families: Sequence[Family], grace: timedelta) -> list[Task]:
    """Return what to settle: what is due of each family until its first due charge's grace is over.

    The other subscriptions are only corrected, those that were ever billed. A family of which nothing is due
    any more is only corrected.
    """
    subscriptions = [one for family in families for one in family.subscriptions]
    coverage = Coverage(
        {member.id: member.parent_id for family in families for member in family.members}, subscriptions
    )
    currency_of = {one.id: family.payer.currency for family in families for one in family.subscriptions}
    accounts = open_accounts(session, subscriptions, currency_of, coverage)
    tasks = []
    for family in families:
        until = None if family.first_due is None else family.first_due + grace
        for one in family.subscriptions:
            if until is not None and one.next_due_at is not None and one.next_due_at <= until:
                tasks.append(Task(accounts[one.id], until))
            elif one.billed_until is not None:
                tasks.append(Task(accounts[one.id], one.billed_until, is_due=False))
    return tasks


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
        try:
            with database.transaction() as session:
                invoice = _bill_ended_payer(session, payer_id, now=now)
        except TollkeeperError as error:
            log.warning("billing_failed", payer=payer_id, reason=error.message)
            report.failures[payer_id] = error.message
            continue
        if invoice is not None:
            report.invoices.append(invoice.number or invoice.id)
    return report


def _bill_ended_payer(session: Session, payer_id: str, *, now: datetime) -> Invoice | None:
    (family,) = lock_families(session, [payer_id])
    if family.first_due is not None:
        return None
    settle_accounts(session, _tasks(session, [family], timedelta(0)), now=now)
    bills = draft_bills(session, [family.members], now=now)
    issue_bills(session, bills)
    return bills[0].invoice if bills else None


def count_due(database: Database, *, now: datetime, grace: timedelta = DEFAULT_GRACE) -> int:
    """Return how many subscriptions wait for the run: its progress."""
    with database.snapshot() as session:
        return session.scalar(select(func.count()).where(Subscription.next_due_at <= now - grace)) or 0


def _next_payers(
    session: Session, failed: Collection[str], most: int, *, until: datetime, grace: timedelta
) -> list[str]:
    """Return the payers with the first due charges, in their order, those within a grace period of the very first.

    What comes of a step is due later than that, so whatever share of them one transaction bills, the next payers
    are the same. Those that failed are due still and are passed over.
    """
    payers: dict[str, None] = {}
    for due_at, payer_id in _by_due_time(session, until=until):
        if payer_id in failed:
            continue
        until = min(until, due_at + grace)
        if due_at > until or len(payers) == most:
            break
        payers[payer_id] = None
    return list(payers)


def _by_due_time(session: Session, *, until: datetime) -> Iterator[tuple[datetime, str]]:
    """Yield each subscription's due time with who pays for it, in order, a page at a time."""
    for offset in itertools.count(0, PAGE):
        page = session.execute(
            select(Subscription.next_due_at, Customer)
            .join(Customer, Customer.id == Subscription.customer_id)
            .where(Subscription.next_due_at <= until)
            .order_by(Subscription.next_due_at, Subscription.id)
            .limit(PAGE)
            .offset(offset)
        ).all()
        for due_at, customer in page:
            assert due_at is not None, "only what is due is selected"
            yield due_at, payer_of(session, customer).id
        if len(page) < PAGE:
            return
