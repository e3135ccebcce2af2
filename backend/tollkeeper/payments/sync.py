"""The job that brings issued invoices to Stripe: claim a row, work without a transaction, note what came of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.states import OPEN_STATUSES
from tollkeeper.invoices.tables import Invoice, InvoiceStatus
from tollkeeper.payments.answers import Next, Refusal, wait_before_repeat
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.exponents import minimum_charge
from tollkeeper.payments.outbox import StripeRefused
from tollkeeper.payments.push_credit_note import waits_for_its_credit_notes
from tollkeeper.payments.push_invoice import Mismatch, Push, push_invoice
from tollkeeper.payments.statement import Statement, read_statement
from tollkeeper.payments.tables import StripeSync, SyncState
from tollkeeper.payments.withdraw import follow_our_status
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import insert_ignoring

log = structlog.get_logger()

# As long as one request with its timeouts and retries. A lease only spares work: that nothing is done twice is the
# doing of outbox.py, so it may end too early, and a short one lets a restart go on soon.
LEASE = timedelta(minutes=2)
ACCOUNT_REST = timedelta(minutes=5)
MOST_A_RUN = 200
ISSUE, FOLLOW = "issue", "follow"
STILL_OPEN_THERE = ("draft", "open", "uncollectible")


@dataclass(slots=True)
class SyncReport:
    """What one run did, by number of invoices."""

    done: int = 0
    waiting: int = 0
    held: int = 0
    stopped: int = 0
    account_refused: str | None = None


def sync_due_invoices(
    database: Database, account: StripeAccount, *, now: datetime, limit: int = MOST_A_RUN
) -> SyncReport:
    """Bring due invoices to Stripe, at most `limit` of them; any number of processes may do so at once.

    No database transaction is open during HTTP. Cut off anywhere, the next run goes on: the invoice's row is
    claimed again when its lease ends, and each request finds out whether it was done (outbox.py).
    """
    report = SyncReport()
    with database.transaction() as session:
        _enqueue(session, now=now)
    for _ in range(limit):
        with database.transaction() as session:
            sync = _claim(session, now=now)
        if sync is None:
            break
        _sync_one(database, account, sync, report, now=now)
        if report.account_refused:
            break
    return report


def retry_sync(session: Session, invoice_id: str, *, now: datetime) -> bool:
    """Let a stopped or held invoice try again, after a person has mended the cause; False if it is neither."""
    retried = session.scalars(
        update(StripeSync)
        .where(StripeSync.invoice_id == invoice_id, StripeSync.state.in_([SyncState.STOPPED, SyncState.HELD]))
        .values(state=SyncState.WAITING, due_at=now, failures=0)
        .returning(StripeSync.invoice_id)
    ).all()
    return bool(retried)


def _enqueue(session: Session, *, now: datetime) -> None:
    """Decide to sync: each issued invoice once, and again when it was ended here after that."""
    new = session.scalars(
        select(Invoice.id)
        .where(Invoice.status.in_(OPEN_STATUSES), ~exists().where(StripeSync.invoice_id == Invoice.id))
        .order_by(Invoice.sequence_number)
        .limit(10 * MOST_A_RUN)
    ).all()
    fresh = {"state": SyncState.WAITING, "due_at": now, "failures": 0, "created_at": now, "read_at": now, "goal": ISSUE}
    insert_ignoring(session, StripeSync, [{"invoice_id": invoice_id, **fresh} for invoice_id in sorted(new)])
    ahead = (
        select(Invoice.id)
        .where(
            or_(
                Invoice.status.in_([InvoiceStatus.VOID, InvoiceStatus.PAID])
                & (Invoice.stripe_status.in_(STILL_OPEN_THERE) | Invoice.stripe_status.is_(None))
                & ~waits_for_its_credit_notes(),
                (Invoice.status == InvoiceStatus.UNCOLLECTIBLE) & (Invoice.stripe_status == "open"),
            )
        )
        .scalar_subquery()
    )
    # one that was given up on there, too, is followed once more when it is paid or voided after all
    given_up = select(Invoice.id).where(
        Invoice.status.in_([InvoiceStatus.VOID, InvoiceStatus.PAID]), Invoice.stripe_status == "uncollectible"
    )
    is_done = (StripeSync.goal == FOLLOW) & (StripeSync.state == SyncState.DONE)
    session.execute(
        update(StripeSync)
        .where(
            or_(
                (StripeSync.goal == ISSUE) & StripeSync.invoice_id.in_(ahead),
                is_done & StripeSync.invoice_id.in_(given_up.scalar_subquery()),
            )
        )
        .values(goal=FOLLOW, state=SyncState.WAITING, due_at=now, failures=0)
    )


def _claim(session: Session, *, now: datetime) -> StripeSync | None:
    """Lease the invoice that is due longest, but not while another one of the same customer is at work."""
    other, mine = aliased(Invoice), aliased(Invoice)
    at_work = aliased(StripeSync)
    customer_is_busy = (
        exists()
        .where(mine.id == StripeSync.invoice_id, other.customer_id == mine.customer_id)
        .where(at_work.invoice_id == other.id, at_work.claimed_until > now, at_work.state == SyncState.WAITING)
    )
    candidate = (
        select(StripeSync.invoice_id)
        .where(StripeSync.state == SyncState.WAITING, StripeSync.due_at <= now, ~customer_is_busy)
        .order_by(StripeSync.due_at, StripeSync.invoice_id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return session.scalars(
        update(StripeSync)
        .where(StripeSync.invoice_id == candidate)
        .values(claimed_until=now + LEASE)
        .returning(StripeSync)
    ).first()


def _sync_one(
    database: Database, account: StripeAccount, sync: StripeSync, report: SyncReport, *, now: datetime
) -> None:
    try:
        if sync.goal == FOLLOW:
            problem = follow_our_status(database, account, sync.invoice_id, now=now)
        else:
            statement = _statement(database, sync.invoice_id)
            if statement.is_below_minimum:
                _hold(database, sync, statement, report)
                return
            problem = push_invoice(Push(database, account, statement, now))
    except (InvalidInput, Mismatch) as refused:
        report.stopped += 1
        text = refused.fields[0].message if isinstance(refused, InvalidInput) else str(refused)
        _finish(database, sync, SyncState.STOPPED, text)
    except StripeRefused as refused:
        _note_refusal(database, sync, refused, report, now=now)
    else:
        report.done += 1
        _finish(database, sync, SyncState.DONE, problem)


def _statement(database: Database, invoice_id: str) -> Statement:
    with database.snapshot() as session:
        return read_statement(session, session.get_one(Invoice, invoice_id))


def _hold(database: Database, sync: StripeSync, statement: Statement, report: SyncReport) -> None:
    least = minimum_charge(statement.currency)
    report.held += 1
    reason = (
        f"not sent: {statement.total} is below Stripe's minimum charge of {least} (in Stripe's units of "
        f"{statement.currency}); collect it another way, or let it join a later invoice by voiding it"
    )
    _finish(database, sync, SyncState.HELD, reason)


def _note_refusal(
    database: Database, sync: StripeSync, refused: StripeRefused, report: SyncReport, *, now: datetime
) -> None:
    refusal = refused.refusal
    log.warning("stripe_refused", invoice=sync.invoice_id, operation=refused.operation, code=refusal.code)
    if refusal.next is Next.STOP:
        report.stopped += 1
        _finish(database, sync, SyncState.STOPPED, str(refused))
        return
    report.waiting += 1
    wait = wait_before_repeat(sync.failures + 1, refusal)
    if refusal.next is Next.STOP_ACCOUNT:
        report.account_refused = refusal.reason
        wait = ACCOUNT_REST
        _rest(database, str(refused), due_at=now + wait)
    _wait(database, sync, refusal, str(refused), due_at=now + wait)


def _rest(database: Database, problem: str, *, due_at: datetime) -> None:
    """Let no invoice ask the account before this instant, and show on each what it waits for."""
    waiting = (StripeSync.state == SyncState.WAITING) & (StripeSync.due_at < due_at)
    with database.transaction() as session:
        rested = select(StripeSync.invoice_id).where(waiting).scalar_subquery()
        session.execute(update(Invoice).where(Invoice.id.in_(rested)).values(stripe_problem=problem))
        session.execute(update(StripeSync).where(waiting).values(due_at=due_at, problem=problem))


def _wait(database: Database, sync: StripeSync, refusal: Refusal, problem: str, *, due_at: datetime) -> None:
    # A wrong key is no fault of the invoice: it does not make its waits longer.
    counted = 0 if refusal.next is Next.STOP_ACCOUNT else 1
    with database.transaction() as session:
        session.execute(
            update(StripeSync)
            .where(StripeSync.invoice_id == sync.invoice_id)
            .values(claimed_until=None, due_at=due_at, failures=StripeSync.failures + counted, problem=problem)
        )
        session.execute(update(Invoice).where(Invoice.id == sync.invoice_id).values(stripe_problem=problem))


def _finish(database: Database, sync: StripeSync, state: SyncState, problem: str | None) -> None:
    # If the goal changed while we worked (a void), the row keeps waiting and is taken when the lease ends.
    with database.transaction() as session:
        session.execute(
            update(StripeSync)
            .where(StripeSync.invoice_id == sync.invoice_id, StripeSync.goal == sync.goal)
            .values(state=state, claimed_until=None, problem=problem)
        )
        session.execute(update(Invoice).where(Invoice.id == sync.invoice_id).values(stripe_problem=problem))


def count_syncs(session: Session) -> dict[str, int]:
    """Return how many invoices are in each state of the sync, to show its progress."""
    rows = session.execute(select(StripeSync.state, func.count()).group_by(StripeSync.state))
    return dict(rows.all())
