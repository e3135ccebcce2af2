"""Progressive billing: an interim invoice when the usage since the last invoice comes to a plan's threshold.

An interim row bills a usage charge before it is due: the rating of the usage so far, as inside a period (no minimum, no
volume price), less what was billed of the charge. When the charge falls due it is billed in full less its interim
rows, so whatever the interim invoices were, together they come to the charge. Fees and minimums wait for that, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.catalog.versions import spec_of
from tollkeeper.customers.customers import payer_of
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import TollkeeperError
from tollkeeper.invoices.accounts import Account, open_account
from tollkeeper.invoices.billing_run import BillingReport, Family, lock_families
from tollkeeper.invoices.charges import is_by_usage, name_of, price_charge
from tollkeeper.invoices.draft import draft_bills
from tollkeeper.invoices.finalize import issue_bills
from tollkeeper.invoices.settle import measure_totals, proved_rows
from tollkeeper.invoices.tables import Invoice
from tollkeeper.money import round_to_minor
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.billing_periods import lay_billing_periods, share_of_pieces
from tollkeeper.subscriptions.periods import MICROSECOND
from tollkeeper.subscriptions.tables import Subscription, SubscriptionTerm
from tollkeeper.subscriptions.types import BillingPeriod

log = structlog.get_logger()

PAGE = 500
Thresholds = Mapping[str, Mapping[str, int]]  # by plan version and currency, in minor units


def bill_thresholds(database: Database, *, now: datetime) -> BillingReport:
    """Issue an interim invoice to every payer with a subscription whose usage has come to its plan's threshold.

    Each invoice is a transaction; a repeat issues nothing, as the usage since the last invoice is less then.
    """
    report = BillingReport()
    with database.snapshot() as session:
        payer_ids = list(dict.fromkeys(_payers_over(session, now=now)))
    for payer_id in payer_ids:
        try:
            with database.transaction() as session:
                invoice = bill_interim(session, payer_id, now=now)
        except TollkeeperError as error:
            log.warning("interim_billing_failed", payer=payer_id, reason=error.message)
            report.failures[payer_id] = error.message
            continue
        if invoice is not None:
            report.invoices.append(invoice.number or invoice.id)
    return report


def bill_interim(session: Session, payer_id: str, *, now: datetime) -> Invoice | None:
    """Issue an interim invoice for those of a family's subscriptions that are over; None if none is."""
    (family,) = lock_families(session, [payer_id])
    thresholds = _thresholds(session)
    charges = [
        (account, period)
        for account in _accounts(session, family)
        for period in _over(session, account, thresholds, now=now)
    ]
    rows = [row for row in proved_rows(session, charges, now=now, is_complete=False) if row.amount_minor]
    if not rows:
        return None
    session.add_all(rows)
    session.flush()
    bills = draft_bills(session, [family.members], now=now)
    issue_bills(session, bills)
    return bills[0].invoice if bills else None


def _payers_over(session: Session, *, now: datetime) -> Iterator[str]:
    thresholds = _thresholds(session)
    after = ""
    while thresholds:
        page = session.scalars(
            select(Subscription)
            .join(SubscriptionTerm, SubscriptionTerm.subscription_id == Subscription.id)
            .where(
                Subscription.id > after,
                SubscriptionTerm.plan_version_id.in_(thresholds),
                SubscriptionTerm.starts_at <= now,
                or_(Subscription.ends_at.is_(None), Subscription.ends_at > now),
            )
            .order_by(Subscription.id)
            .limit(PAGE)
        ).unique()
        found = list(page)
        for subscription in found:
            if _may_be_over(session, subscription, thresholds, now=now):
                yield payer_of(session, session.get_one(Customer, subscription.customer_id)).id
        if len(found) < PAGE:
            return
        after = found[-1].id


def _may_be_over(session: Session, subscription: Subscription, thresholds: Thresholds, *, now: datetime) -> bool:
    """Ask the totals; what cannot be billed is found out when it is tried."""
    payer = payer_of(session, session.get_one(Customer, subscription.customer_id))
    try:
        account = open_account(session, subscription, payer.currency)
    except TollkeeperError:
        return True
    return bool(_over(session, account, thresholds, now=now))


def _accounts(session: Session, family: Family) -> list[Account]:
    return [open_account(session, one, family.payer.currency) for one in family.subscriptions]


def _over(session: Session, account: Account, thresholds: Thresholds, *, now: datetime) -> list[BillingPeriod]:
    """Return the running usage charges of a subscription, cut at the present, if they come to the threshold."""
    segment = account.timeline.segment_at(now)
    by_currency = {} if segment is None else thresholds.get(segment.plan_version_id, {})
    threshold = by_currency.get(account.currency)
    if threshold is None:
        return []
    running = [
        cut_period(period, now)
        for period in lay_billing_periods(account.timeline, since=now + MICROSECOND, until=now + MICROSECOND)
        if is_by_usage(period.rate_card) and period.start < now < period.due_at
    ]
    return running if sum(_open_minor(session, account, one) for one in running) >= threshold else []


def cut_period(period: BillingPeriod, at: datetime) -> BillingPeriod:
    """Return the part of a charge that is over at the instant, under the same name."""
    holes = tuple(hole for one in period.holes if (hole := one.overlap(period.start, at)) is not None)
    fraction = share_of_pieces(period.start, at, holes, period.full)
    return replace(period, end=at, due_at=at, holes=holes, fraction=fraction)


def _open_minor(session: Session, account: Account, period: BillingPeriod) -> int:
    measure = partial(measure_totals, session)
    priced = price_charge(period, account.currency, account.coverage, measure, is_complete=False)
    return priced.rated.total_minor - sum(row.amount_minor for row in account.billed.get(name_of(period), ()))


def _thresholds(session: Session) -> Thresholds:
    versions = session.scalars(select(PlanVersion).where(PlanVersion.spec["billing_thresholds"].as_string() != "{}"))
    specs = ((version.id, spec_of(version)) for version in versions)
    return {
        version_id: {code: round_to_minor(amount, code) for code, amount in spec.billing_thresholds.items()}
        for version_id, spec in specs
        if isinstance(spec, PlanSpec)  # an add-on has none
    }
