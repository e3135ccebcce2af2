"""What runs when. The order is that of `tollkeeper jobs run --once` and of the test clock's steps."""

import structlog

from tollkeeper.access.idempotency import forget_old_answers
from tollkeeper.clock import SystemClock
from tollkeeper.credits.expire import expire_due_grants
from tollkeeper.entitlements.nodes import watch_nodes
from tollkeeper.entitlements.purge import purge_removed
from tollkeeper.entitlements.refresh import has_work, refresh_verdicts
from tollkeeper.entitlements.survey import survey_usage
from tollkeeper.invoices.billing_run import bill_due_periods
from tollkeeper.invoices.interim import bill_thresholds
from tollkeeper.invoices.mail import send_due
from tollkeeper.invoices.pay import mark_overdue
from tollkeeper.invoices.retention import drop_old_events
from tollkeeper.invoices.top_up import charge_top_ups
from tollkeeper.jobs.context import JobContext
from tollkeeper.jobs.runner import Job
from tollkeeper.metering.digests import MOST_PARTS, fold_digests
from tollkeeper.metering.event_days import make_event_days
from tollkeeper.metering.export_days import name_of
from tollkeeper.metering.stores.archive import archive_behind
from tollkeeper.metering.stores.move import MOST_MOVED, move_events
from tollkeeper.metering.totals import merge_totals
from tollkeeper.metering.touched import prune_batches
from tollkeeper.notifications.deliver import deliver_due, has_notifications_due, spread_notifications
from tollkeeper.payments.apply_events import apply_stripe_events
from tollkeeper.payments.push_credit_note import sync_credit_notes
from tollkeeper.payments.reread import reread_open_invoices
from tollkeeper.payments.sync import sync_due_invoices

log = structlog.get_logger()

MOST_ROUNDS = 100


def refresh(context: JobContext) -> int:
    """Bring verdicts up to date: count in a reading transaction, apply in a short writing one."""
    published = 0
    for _ in range(MOST_ROUNDS):
        now = context.clock.now()
        with context.database.snapshot() as session:
            survey = survey_usage(session, now=now)
            if not has_work(session, survey, now=now):
                break
        with context.database.transaction() as session:
            refreshed = refresh_verdicts(session, now=now, survey=survey)
        published += refreshed.published
        if refreshed.is_complete:
            break
    return published


def expire_credit(context: JobContext) -> int:
    """Expire and reset prepaid credit, some wallets a transaction."""
    now = context.clock.now()
    done = 0
    for _ in range(MOST_ROUNDS):
        with context.database.transaction() as session:
            count = expire_due_grants(session, now=now)
        if not count:
            break
        done += count
    return done


def bill(context: JobContext) -> int:
    """Issue the invoices that are due."""
    return len(bill_due_periods(context.database, now=context.clock.now(), grace=context.grace).invoices)


def bill_interim(context: JobContext) -> int:
    """Issue interim invoices where usage has come to a plan's threshold."""
    return len(bill_thresholds(context.database, now=context.clock.now()).invoices)


def top_up(context: JobContext) -> int:
    """Issue the invoices for automatic top-ups that are due."""
    return len(charge_top_ups(context.database, now=context.clock.now()).invoices)


def find_overdue(context: JobContext) -> int:
    """Move invoices whose due date has come, some a transaction."""
    found = 0
    for _ in range(MOST_ROUNDS):
        with context.database.transaction() as session:
            count = mark_overdue(session, now=context.clock.now())
        if not count:
            break
        found += count
    return found


def sync_stripe(context: JobContext) -> int:
    """Bring issued invoices to Stripe and take over what Stripe told; nothing without an account."""
    account = context.stripe_account
    if account is None:
        return 0
    now = context.clock.now()
    done = sync_credit_notes(context.database, account, now=now)
    done += sync_due_invoices(context.database, account, now=now).done
    return done + apply_stripe_events(context.database, account, now=now)


def reread_stripe(context: JobContext) -> int:
    """Ask Stripe about open invoices, for webhooks that were missed; nothing without an account."""
    if context.stripe_account is None:
        return 0
    return reread_open_invoices(context.database, context.stripe_account, now=context.clock.now())


def notify(context: JobContext) -> int:
    """Deliver webhooks; in machine time, which is the receivers'."""
    now = SystemClock().now()
    with context.database.snapshot() as session:
        is_idle = not has_notifications_due(session, now=now)
    if is_idle:
        return 0
    with context.database.transaction() as session:
        spread_notifications(session, now=now)
    return deliver_due(context.database, now=now, may_be_loopback=context.webhooks_to_loopback)


def send_mails(context: JobContext) -> int:
    """Send invoices by e-mail; in machine time, which is the mail server's. Nothing without one."""
    if context.mail_server is None:
        return 0
    return send_due(context.database, context.mail_server, now=SystemClock().now())


def watch(context: JobContext) -> int:
    """Tell of nodes that fell silent; in machine time, since heartbeats are."""
    with context.database.transaction() as session:
        return watch_nodes(session, now=SystemClock().now())


def fold(context: JobContext) -> int:
    """Add what batches left to the digests of the audit, some batches a transaction."""
    folded = 0
    for _ in range(MOST_ROUNDS):
        with context.database.transaction() as session:
            count = fold_digests(session)
        folded += count
        if count < MOST_PARTS:
            break
    return folded


def move(context: JobContext) -> int:
    """Move raw events to their archive; nothing without one."""
    archive = archive_behind(context.database.engine)
    if archive is None:
        return 0
    moved = 0
    for _ in range(MOST_ROUNDS):
        count = move_events(context.database, archive)
        moved += count
        if count < MOST_MOVED:
            break
    return moved


def tidy(context: JobContext) -> int:
    """Fold and forget what only keeps things fast."""
    now = context.clock.now()
    with context.database.transaction() as session:
        forget_old_answers(session, now=now)
        return merge_totals(session) + prune_batches(session, now=now) + purge_removed(session, now=now)


def make_days(context: JobContext) -> int:
    """Make the partitions of coming days on PostgreSQL; in machine time, so that a test clock's leaps make none."""
    return make_event_days(context.database, now=SystemClock().now())


def drop_events(context: JobContext) -> int:
    """Drop raw events that are old enough and that nothing needs; nothing unless the setting says how old."""
    if context.keep_events_days is None:
        return 0
    report = drop_old_events(
        context.database,
        keep_days=context.keep_events_days,
        only_exported=context.drop_only_exported,
        now=context.clock.now(),
        grace=context.grace,
    )
    if report.kept_day is not None:
        log.warning("events_not_dropped", day=name_of(report.kept_day), reason=report.reason)
    return len(report.dropped)


TIMETABLE = (
    Job("refresh_verdicts", 0.5, refresh, "Count usage against quotas and tell the gateway nodes."),
    Job("expire_credit", 10, expire_credit, "Expire and reset prepaid credit."),
    Job("bill_due_periods", 5, bill, "Issue the invoices of periods that are over."),
    Job("charge_top_ups", 60, top_up, "Issue the invoices for automatic top-ups that are due."),
    Job("bill_thresholds", 60, bill_interim, "Issue interim invoices where usage has come to a plan's threshold."),
    Job("mark_overdue", 60, find_overdue, "Move invoices whose due date has come and that are not paid."),
    Job("sync_stripe", 5, sync_stripe, "Bring issued invoices to Stripe, and take over what Stripe tells."),
    Job("reread_stripe", 60, reread_stripe, "Ask Stripe about open invoices, for webhooks that were missed."),
    Job("notify", 2, notify, "Deliver webhooks."),
    Job("send_mails", 5, send_mails, "Send invoices by e-mail, if TOLLKEEPER_SMTP_HOST names a server."),
    Job("watch_nodes", 10, watch, "Tell of gateway nodes that fell silent."),
    Job("fold_digests", 10, fold, "Add what batches left to the digests of the audit."),
    Job("move_events", 5, move, "Move raw events to ClickHouse, if EVENTS_URL names one."),
    Job("make_event_days", 10, make_days, "Make the partitions of coming days on PostgreSQL, remove emptied ones."),
    Job("drop_events", 3600, drop_events, "Drop raw events that are older than the setting and needed no more."),
    Job("tidy", 60, tidy, "Fold hourly totals, forget old bookkeeping."),
)
