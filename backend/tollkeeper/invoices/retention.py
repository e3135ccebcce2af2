"""Which raw events no invoice and no quota needs any more, and dropping them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from tollkeeper.entitlements.tables import EntitlementLimit
from tollkeeper.invoices.tables import BilledPeriod, Invoice, InvoiceStatus
from tollkeeper.metering.digests import DAY_US
from tollkeeper.metering.drop_days import days_to_drop, drop_day, give_up_day
from tollkeeper.metering.event import instant_of, microseconds_of
from tollkeeper.metering.retention_bound import raise_accept_from
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.billing_periods import BEGINNING, lay_billing_periods
from tollkeeper.subscriptions.periods import MICROSECOND
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import load_timelines

CHUNK = 200


@dataclass(slots=True)
class DropReport:
    """Which days (since 1970) were dropped, and the first one that was not, with the reason."""

    dropped: list[int] = field(default_factory=list)
    kept_day: int | None = None
    reason: str = ""


def drop_old_events(
    database: Database, *, keep_days: int, only_exported: bool, now: datetime, grace: timedelta
) -> DropReport:
    """Refuse events of more than `keep_days` ago, and drop the raw ones that nothing can need any more.

    Killed anywhere it loses nothing: both bounds are committed before a day goes, so that nobody counts on its events,
    and a day goes as a whole, in one transaction. It stops at the first day that has to stay.
    """
    report = DropReport()
    with database.transaction() as session:
        accept_from = raise_accept_from(session, microseconds_of(now) // DAY_US - keep_days)
    with database.snapshot() as session:
        end_day = needed_from(session, accept_from, now=now, grace=grace)
        days = days_to_drop(session, end_day)
    for day in days:
        with database.transaction() as session:
            # Something may have been billed, subscribed or mapped since: ask again for the day alone.
            if day >= needed_from(session, accept_from, now=now, grace=grace):
                break
            reason = give_up_day(session, day, only_exported=only_exported)
        if reason is not None:
            report.kept_day, report.reason = day, reason
            break
        with database.transaction() as session:
            drop_day(session, day, now=now)
        report.dropped.append(day)
    return report


def needed_from(session: Session, accept_from: int, *, now: datetime, grace: timedelta) -> int:
    """Return the first day whose raw events something may still need; at most `accept_from`.

    Needed are the whole periods: of charges not billed yet, of charges that may still get late events (those that end
    after `accept_from`), of drafts and of what was billed within the grace period, and of running quotas.
    """
    first = instant_of(accept_from * DAY_US)
    starts = [first, *_billed_starts(session, first, now - grace), *_unbilled_starts(session, first, now)]
    running = or_(EntitlementLimit.period_end.is_(None), EntitlementLimit.period_end > first)
    quota = session.scalar(select(func.min(EntitlementLimit.period_start)).where(running))
    return microseconds_of(min([*starts, *([] if quota is None else [quota])])) // DAY_US


def _billed_starts(session: Session, first: datetime, billed_before: datetime) -> Iterator[datetime]:
    waits = and_(BilledPeriod.invoice_id.is_(None), BilledPeriod.amount_minor != 0)
    may_change = or_(
        BilledPeriod.period_end > first,
        BilledPeriod.billed_at > billed_before,
        waits,
        Invoice.status == InvoiceStatus.DRAFT,
    )
    query = select(func.min(BilledPeriod.period_start)).outerjoin(Invoice, Invoice.id == BilledPeriod.invoice_id)
    start = session.scalar(query.where(may_change))
    if start is not None:
        yield start


def _unbilled_starts(session: Session, first: datetime, now: datetime) -> Iterator[datetime]:
    """Yield when the charges begin that no run has billed yet, of subscriptions that are older than `first`."""
    old = select(Subscription).where(Subscription.next_due_at.is_not(None), Subscription.started_at < first)
    rows = session.scalars(old.order_by(Subscription.id)).all()
    for place in range(0, len(rows), CHUNK):
        for timeline in load_timelines(session, rows[place : place + CHUNK]):
            since = timeline.subscription.billed_until or BEGINNING
            laid = lay_billing_periods(
                timeline, since=max(since, timeline.subscription.started_at), until=now + MICROSECOND
            )
            yield from (period.start for period in laid)
