"""Advance the test clock: step over every instant at which something falls due, and do what is due at each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.credits.tables import CreditGrant
from tollkeeper.entitlements.feed_state import find_feed
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.tables import Invoice, InvoiceStatus
from tollkeeper.jobs.context import JobContext
from tollkeeper.jobs.runner import Job, run_job
from tollkeeper.jobs.timetable import TIMETABLE
from tollkeeper.storage.test_clock import move_test_clock, require_open_test_clock
from tollkeeper.subscriptions.tables import Subscription

MOST_STEPS = 20_000
NOT_YET_OVERDUE = (InvoiceStatus.ISSUED, InvoiceStatus.PARTLY_PAID)


class ForgettingClock(Protocol):
    """A clock whose cached offset can be dropped."""

    def forget(self) -> None:
        """Read the offset anew at the next call."""
        ...


def advance_clock(
    context: JobContext, offset: ForgettingClock, to: datetime, *, timetable: Sequence[Job] = TIMETABLE
) -> int:
    """Move the tenant's time to an instant and run what falls due on the way, in order; return how many steps.

    Cut off anywhere, the time stands at the last step; advance again to go on. Raises NotAllowed when the
    test clock is closed, InvalidInput for an instant that is not ahead, Conflict when a job fails.
    """
    with context.database.snapshot() as session:
        require_open_test_clock(session)
    if to <= context.clock.now():
        raise InvalidInput.of("/to", "is not after the tenant's current time; time never goes backwards")
    # What is due now comes first: usage that is not yet counted belongs to periods that are about to end.
    _run_due(context, timetable)
    for step in range(1, MOST_STEPS):
        with context.database.snapshot() as session:
            next_due = _next_due(session, context)
        is_last = next_due is None or next_due >= to
        _move(context, offset, to if next_due is None else min(next_due, to))
        _run_due(context, timetable)
        if is_last:
            return step
    raise Conflict(f"stopped after {MOST_STEPS} steps at {context.clock.now().isoformat()}; advance again to go on")


def _move(context: JobContext, offset: ForgettingClock, to: datetime) -> None:
    with context.database.transaction() as session:
        move_test_clock(session, to)
    offset.forget()


def _run_due(context: JobContext, timetable: Sequence[Job]) -> None:
    failed = [job.name for job in timetable if run_job(job, context) is None]
    if failed:
        raise Conflict(f"failed at {context.clock.now().isoformat()}: {', '.join(failed)}; the log has the details")


def _next_due(session: Session, context: JobContext) -> datetime | None:
    """Return the next instant after now at which a charge, a quota, credit or an invoice changes, or None."""
    now = context.clock.now()
    due = session.scalar(
        select(func.min(Subscription.next_due_at)).where(Subscription.next_due_at > now - context.grace)
    )
    feed = find_feed(session)
    credit = session.scalar(select(func.min(CreditGrant.next_act_at)).where(CreditGrant.next_act_at > now))
    overdue = session.scalar(
        select(func.min(Invoice.due_at)).where(Invoice.status.in_(NOT_YET_OVERDUE), Invoice.due_at > now)
    )
    times = [due + context.grace if due else None, feed.derive_again_at if feed else None, credit, overdue]
    return min((one for one in times if one is not None and one > now), default=None)
