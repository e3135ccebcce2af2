"""Write down what is due: for each charge, the difference between what it comes to and what was charged."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import Plan, PlanVersion
from tollkeeper.errors import Conflict, Unavailable
from tollkeeper.invoices.charges import (
    ChargeName,
    PricedCharge,
    is_by_usage,
    lines_as_json,
    name_of,
    price_charge,
)
from tollkeeper.invoices.shares import Shares, share_charge, share_correction
from tollkeeper.invoices.tables import BilledPeriod, ChargeKind
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.billing_periods import billing_periods, due_periods, mark_billed, reviewed_from
from tollkeeper.subscriptions.coverage import Coverage, CoveredStretch, coverage_below
from tollkeeper.subscriptions.periods import MICROSECOND, Period
from tollkeeper.subscriptions.tables import Subscription, SubscriptionTerm
from tollkeeper.subscriptions.types import BillingPeriod
from tollkeeper.usage.event_range import EventRange, pooled_event_range

MOST_READS = 3
Billed = dict[ChargeName, list[BilledPeriod]]


@dataclass(frozen=True, slots=True)
class Account:
    """A subscription's side of the books: what was billed of it, and whose usage it covers as things are now."""

    currency: str
    billed: Billed
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Settled:
    """The new rows of one subscription; `has_new_charges` says that a period began or ended."""

    rows: list[BilledPeriod]

    @property
    def has_new_charges(self) -> bool:
        """Tell whether a charge fell due for the first time, which calls for an invoice; corrections wait."""
        return any(row.kind == ChargeKind.CHARGE for row in self.rows)


def settle_subscription(
    session: Session, subscription: Subscription, currency: str, *, until: datetime, now: datetime
) -> Settled:
    """Bill every charge due until the instant, correct the earlier ones, and move the subscription's mark.

    A repeat adds nothing: a charge's due amount less what its rows charged is zero then. The unique key of
    BilledPeriod refuses a second writer that would have come between.
    """
    rows = _gather_with_events(session, subscription, currency, until=until, now=now)
    session.add_all(rows)
    session.flush()
    mark_billed(session, subscription, until=until)
    return Settled(rows)


def correct_subscription(session: Session, subscription: Subscription, currency: str, *, now: datetime) -> None:
    """Bill what came late for periods that were billed, and nothing else; the mark stays."""
    if subscription.billed_until is None:
        return
    rows = _gather_with_events(session, subscription, currency, until=subscription.billed_until, now=now)
    session.add_all(rows)
    session.flush()


def _gather_with_events(
    session: Session, subscription: Subscription, currency: str, *, until: datetime, now: datetime
) -> list[BilledPeriod]:
    """Return the rows with the events behind them; raises Unavailable if events will not hold still.

    Two reads of a transaction may see two moments, and an event may come to the period between them: then
    the number and its proof would not be of the same events, so both are read again.
    """
    for _ in range(MOST_READS):
        rows = gather_rows(session, subscription, currency, until=until, now=now)
        if all(_add_events(session, row) for row in rows):
            return rows
    raise Unavailable("events are coming to the period that is being billed; the next run tries again")


def gather_rows(
    session: Session, subscription: Subscription, currency: str, *, until: datetime, now: datetime
) -> list[BilledPeriod]:
    """Return the rows that are to be written, without writing them: the preview reads them, too."""
    account = open_account(session, subscription, currency)
    due = due_periods(session, subscription, now=until)
    listed = {name_of(period) for period in due}
    late = [one for one in _billed_usage(session, subscription, account.billed) if name_of(one) not in listed]
    rows = [row for one in (*due, *late) if (row := row_of_charge(session, one, account, now=now)) is not None]
    since = reviewed_from(subscription)
    laid = billing_periods(session, subscription, since=since, until=until + MICROSECOND)
    return rows + _vanished(account.billed, {name_of(period) for period in laid}, Period(since, until), now=now)


def open_account(session: Session, subscription: Subscription, currency: str) -> Account:
    """Read a subscription's account; raises Conflict if its plans are priced in another currency than it is billed in.

    A customer's currency may have been changed since it subscribed, and 20.00 USD are not 20.00 EUR.
    """
    priced_in = session.scalars(
        select(Plan.currency)
        .join(PlanVersion, PlanVersion.plan_id == Plan.id)
        .join(SubscriptionTerm, SubscriptionTerm.plan_version_id == PlanVersion.id)
        .where(SubscriptionTerm.subscription_id == subscription.id, Plan.currency != currency)
    ).first()
    if priced_in is not None:
        raise Conflict(
            f"subscription {subscription.id} is priced in {priced_in}, but its payer is billed in {currency}; "
            f"set the customer's currency back to {priced_in}"
        )
    return Account(currency, billed_rows(session, subscription.id), coverage_below(session, subscription.customer_id))


def billed_rows(session: Session, subscription_id: str) -> Billed:
    """Return every row of a subscription under the name of its charge, in order of revision."""
    rows = session.scalars(
        select(BilledPeriod).where(BilledPeriod.subscription_id == subscription_id).order_by(BilledPeriod.revision)
    )
    billed: Billed = defaultdict(list)
    for row in rows:
        billed[name_of_row(row)].append(row)
    return billed


def name_of_row(row: BilledPeriod) -> ChargeName:
    """Return the name of the charge that a row belongs to."""
    return ChargeName(row.subscription_id, row.term_id, row.phase_key, row.rate_card_key, row.period_start)


def _billed_usage(session: Session, subscription: Subscription, billed: Billed) -> Iterable[BillingPeriod]:
    """Return the usage charges that were billed, as their periods are now: late events may have come to them."""
    ends = [rows[-1].period_end for rows in billed.values()]
    if not ends:
        return []
    periods = billing_periods(session, subscription, until=max(ends) + MICROSECOND)
    return [period for period in periods if is_by_usage(period.rate_card) and name_of(period) in billed]


def row_of_charge(session: Session, period: BillingPeriod, account: Account, *, now: datetime) -> BilledPeriod | None:
    """Return the row that a charge needs now, not yet written; None if what was billed is right."""
    earlier = account.billed.get(name_of(period), [])
    if earlier and _is_unchanged(period, earlier[-1]):
        return None
    priced = price_charge(session, period, account.currency, account.coverage)
    charged = sum(row.amount_minor for row in earlier)
    amount = priced.rated.total_minor - charged
    shares = [] if priced.pool is None else share_charge(period.customer_id, priced.pool, priced.rated)
    if earlier and amount == 0 and _says(earlier[-1]) == (period.end, priced.quantity, shares):
        return None
    kind = _kind_of(period, earlier, amount)
    row = _new_row(period, earlier, account.currency, now=now)
    row.kind = kind
    row.quantity = priced.quantity
    row.event_count = priced.event_count
    row.amount_minor = amount
    row.proof = _proof_of(priced, earlier, charged, shares)
    return row


def _says(row: BilledPeriod) -> tuple[datetime, Decimal, Shares]:
    return row.period_end, row.quantity, row.proof["shares"]


def _is_unchanged(period: BillingPeriod, latest: BilledPeriod) -> bool:
    """Tell cheaply that a flat charge is what it was; usage has to be counted again."""
    return not is_by_usage(period.rate_card) and latest.period_end == period.end and latest.quantity == period.quantity


def _kind_of(period: BillingPeriod, earlier: Sequence[BilledPeriod], amount: int) -> ChargeKind:
    if not earlier:
        return ChargeKind.CHARGE
    if is_by_usage(period.rate_card) or amount > 0:
        return ChargeKind.ADJUSTMENT
    return ChargeKind.CREDIT


def _new_row(period: BillingPeriod, earlier: Sequence[BilledPeriod], currency: str, *, now: datetime) -> BilledPeriod:
    return BilledPeriod(
        id=new_id("bil"),
        subscription_id=period.subscription_id,
        term_id=period.term_id,
        phase_key=period.phase_key,
        rate_card_key=period.rate_card.key,
        period_start=period.start,
        period_end=period.end,
        revision=len(earlier),
        plan_version_id=period.plan_version_id,
        customer_id=period.customer_id,
        currency=currency,
        billed_at=now,
        invoice_id=None,
    )


def _proof_of(priced: PricedCharge, earlier: Sequence[BilledPeriod], charged: int, shares: Shares) -> dict[str, Any]:
    period = priced.period
    is_cut = bool(earlier) and period.end < earlier[-1].period_end
    return {
        "lines": lines_as_json(priced.rated.lines),
        "whole_minor": priced.rated.total_minor,
        "charged_before_minor": charged,
        "quantity_before": format(earlier[-1].quantity, "f") if earlier else None,
        "fraction": f"{period.fraction.numerator}/{period.fraction.denominator}",
        "full_period": [period.full.start.isoformat(), period.full.end.isoformat()],
        "holes": [[hole.start.isoformat(), hole.end.isoformat()] for hole in period.holes],
        "credited": [period.end.isoformat(), earlier[-1].period_end.isoformat()] if is_cut else None,
        "feature": period.rate_card.feature if is_by_usage(period.rate_card) else None,
        "stretches": [[one.customer_id, one.start.isoformat(), one.end.isoformat()] for one in priced.stretches],
        "shares": shares,
        "moved": share_correction(earlier[-1].proof["shares"], shares) if earlier else [],
        "events": None,
    }


def _add_events(session: Session, row: BilledPeriod) -> bool:
    """Put the events behind a row, read one by one, into its proof; False if they are not those that it counts."""
    feature = row.proof["feature"]
    if feature is None:
        return True
    found = pooled_event_range(session, feature, stretches_of(row))
    row.proof["events"] = describe_events(found)
    return found.count == row.event_count


def stretches_of(row: BilledPeriod) -> list[CoveredStretch]:
    """Return whose usage a usage charge was computed from, and when."""
    return [
        CoveredStretch(customer_id, datetime.fromisoformat(start), datetime.fromisoformat(end))
        for customer_id, start, end in row.proof["stretches"]
    ]


def describe_events(found: EventRange) -> dict[str, Any]:
    """Return an event range as the proof keeps it."""
    return {
        "count": found.count,
        "first_time": found.first_time.isoformat() if found.first_time else None,
        "last_time": found.last_time.isoformat() if found.last_time else None,
        "digest": found.digest,
    }


def _vanished(billed: Billed, existing: set[ChargeName], reviewed: Period, *, now: datetime) -> list[BilledPeriod]:
    """Give back what was charged for charges that begin in the reviewed time and are there no more."""
    rows = []
    for name, earlier in billed.items():
        charged = sum(row.amount_minor for row in earlier)
        if charged and name not in existing and reviewed.start <= name.start <= reviewed.end:
            rows.append(_credit_all(earlier, charged, now=now))
    return rows


def _credit_all(earlier: Sequence[BilledPeriod], charged: int, *, now: datetime) -> BilledPeriod:
    latest = earlier[-1]
    return BilledPeriod(
        id=new_id("bil"),
        subscription_id=latest.subscription_id,
        term_id=latest.term_id,
        phase_key=latest.phase_key,
        rate_card_key=latest.rate_card_key,
        period_start=latest.period_start,
        period_end=latest.period_end,
        revision=len(earlier),
        kind=ChargeKind.CREDIT,
        plan_version_id=latest.plan_version_id,
        customer_id=latest.customer_id,
        currency=latest.currency,
        quantity=Decimal(0),
        event_count=0,
        amount_minor=-charged,
        proof={
            "lines": [],
            "whole_minor": 0,
            "charged_before_minor": charged,
            "quantity_before": format(latest.quantity, "f"),
            "fraction": "0/1",
            "full_period": latest.proof["full_period"],
            "holes": [],
            "credited": [latest.period_start.isoformat(), latest.period_end.isoformat()],
            "feature": None,
            "stretches": [],
            "shares": [],
            "moved": share_correction(latest.proof["shares"], []),
            "events": None,
        },
        billed_at=now,
        invoice_id=None,
    )
