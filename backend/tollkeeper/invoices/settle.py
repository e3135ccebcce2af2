"""Write down what is due: for each charge, the difference between what it comes to and what was charged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from tollkeeper.invoices.accounts import Account, Billed, are_interim
from tollkeeper.invoices.charges import (
    ChargeName,
    PricedCharge,
    is_by_usage,
    lines_as_json,
    name_of,
    price_charge,
    want_of,
)
from tollkeeper.invoices.marks import keep_marks, read_marks
from tollkeeper.invoices.shares import Shares, share_charge, share_correction
from tollkeeper.invoices.tables import BilledPeriod, ChargeKind
from tollkeeper.metering.event import instant_of
from tollkeeper.metering.retention_bound import raw_from_us
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.billing_periods import (
    BEGINNING,
    lay_billing_periods,
    lay_due_periods,
    mark_timeline_billed,
    reviewed_from,
)
from tollkeeper.subscriptions.coverage import CoveredStretch
from tollkeeper.subscriptions.periods import MICROSECOND, Period
from tollkeeper.subscriptions.types import BillingPeriod
from tollkeeper.usage.reading import EventRange, Want, read_usage
from tollkeeper.usage.usage_of import Pool, pooled_usage

Measure = Callable[[Want], Pool]


@dataclass(frozen=True, slots=True)
class Task:
    """An account to settle until an instant; `is_due` says that its mark moves there, else it is only corrected."""

    account: Account
    until: datetime
    is_due: bool = True

    @property
    def id(self) -> str:
        """Return the subscription's id."""
        return self.account.subscription.id


def settle_accounts(session: Session, tasks: Sequence[Task], *, now: datetime) -> list[BilledPeriod]:
    """Bill every charge due, correct the earlier ones, and move the marks; return the new rows.

    A repeat adds nothing: a charge's due amount less what its rows charged is zero then. The unique key of
    BilledPeriod refuses a second writer that would have come between. The events behind all charges are read in
    one pass, so that a number and its proof are of the same events.
    """
    marks = read_marks(session, {one.account.subscription.id: (one.account, one.until) for one in tasks})
    found = [
        (one, look_at(one.account, until=one.until, quiet_until=marks.quiet_until.get(one.account.subscription.id)))
        for one in tasks
    ]
    changed = [
        (one.account, period)
        for one, looked in found
        for period in looked.periods
        if _may_have_changed(session, period, one.account, now=now)
    ]
    rows = list(proved_rows(session, changed, now=now))
    for one, looked in found:
        rows += _vanished(one.account.billed, looked, now=now)
    session.add_all(rows)
    session.flush()
    keep_marks(session, marks.now)
    for one in tasks:
        if one.is_due:
            mark_timeline_billed(one.account.timeline, until=one.until)
    return rows


def proved_rows(
    session: Session, charges: Sequence[tuple[Account, BillingPeriod]], *, now: datetime, is_complete: bool = True
) -> Iterator[BilledPeriod]:
    """Yield the rows of charges, with the events behind them."""
    wants = {name_of(one): want_of(one, account.coverage) for account, one in charges if is_by_usage(one.rate_card)}
    readings = read_usage(session, wants.values())
    for account, period in charges:
        row = row_of_charge(period, account, lambda want: readings[want].pool, now=now, is_complete=is_complete)
        if row is None:
            continue
        want = wants.get(name_of(period))
        row.proof["events"] = None if want is None else describe_events(readings[want].events)
        yield row


def _may_have_changed(session: Session, period: BillingPeriod, account: Account, *, now: datetime) -> bool:
    """Ask the totals about a charge that was billed, before its events are read; a new one is read in any case."""
    if not account.billed.get(name_of(period)):
        return True
    if _is_closed(session, period):
        return False
    return row_of_charge(period, account, partial(measure_totals, session), now=now) is not None


def _is_closed(session: Session, period: BillingPeriod) -> bool:
    """Tell whether raw events of a usage charge were dropped: nothing can come to it, and it is not counted again."""
    raw_us = raw_from_us(session) if is_by_usage(period.rate_card) else None
    return raw_us is not None and period.start < instant_of(raw_us)


def measure_totals(session: Session, want: Want) -> Pool:
    """Measure usage by the totals, without its proof: for a look that is not billed."""
    return pooled_usage(session, want.feature_key, want.stretches)


@dataclass(frozen=True, slots=True)
class Look:
    """What of an account has to be looked at, which charges there are in the reviewed time, and what time that is."""

    periods: list[BillingPeriod]
    laid: set[ChargeName]
    reviewed: Period


def look_at(account: Account, *, until: datetime, quiet_until: datetime | None) -> Look:
    """Return the charges that fell due, and those of usage that were billed and may have changed since."""
    due = lay_due_periods(account.timeline, now=until)
    listed = {name_of(period) for period in due}
    billed = _billed_usage(account, quiet_until or BEGINNING)
    late = [one for one in billed if one.due_at <= until and name_of(one) not in listed]
    since = reviewed_from(account.subscription)
    laid = lay_billing_periods(account.timeline, since=since, until=until + MICROSECOND)
    return Look([*due, *late], {name_of(period) for period in laid}, Period(since, until))


def _billed_usage(account: Account, quiet_until: datetime) -> list[BillingPeriod]:
    """Return the usage charges that were billed, as their periods are now: late events may have come to them."""
    ends = [rows[-1].period_end for rows in account.billed.values() if rows]
    if not ends or max(ends) <= quiet_until:
        return []
    periods = lay_billing_periods(account.timeline, since=quiet_until, until=max(ends) + MICROSECOND)
    return [
        period
        for period in periods
        if period.end > quiet_until and is_by_usage(period.rate_card) and name_of(period) in account.billed
    ]


def gather_rows(session: Session, account: Account, *, until: datetime, now: datetime) -> list[BilledPeriod]:
    """Return the rows that settling would write, without their proof and without writing them: for a preview."""
    marks = read_marks(session, {account.subscription.id: (account, until)})
    looked = look_at(account, until=until, quiet_until=marks.quiet_until.get(account.subscription.id))
    measure = partial(measure_totals, session)
    asked = [one for one in looked.periods if name_of(one) not in account.billed or not _is_closed(session, one)]
    rows = [row_of_charge(one, account, measure, now=now) for one in asked]
    return [row for row in rows if row is not None] + _vanished(account.billed, looked, now=now)


def row_of_charge(
    period: BillingPeriod, account: Account, measure: Measure, *, now: datetime, is_complete: bool = True
) -> BilledPeriod | None:
    """Return the row that a charge needs now, not yet written and without its events; None if none is needed.

    An incomplete charge is one that is billed in part before it is due (interim.py).
    """
    earlier = account.billed.get(name_of(period), [])
    if earlier and _is_unchanged(period, earlier[-1]):
        return None
    priced = price_charge(period, account.currency, account.coverage, measure, is_complete=is_complete)
    charged = sum(row.amount_minor for row in earlier)
    amount = priced.rated.total_minor - charged
    shares = [] if priced.pool is None else share_charge(period.customer_id, priced.pool, priced.rated)
    if earlier and amount == 0 and _says(earlier[-1]) == (period.end, priced.quantity, shares):
        return None
    kind = _kind_of(period, earlier, amount) if is_complete else ChargeKind.INTERIM
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
    said = (latest.period_end, latest.quantity, latest.proof["override"])
    return not is_by_usage(period.rate_card) and said == (period.end, period.quantity, period.override_id)


def _kind_of(period: BillingPeriod, earlier: Sequence[BilledPeriod], amount: int) -> ChargeKind:
    if are_interim(earlier):
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
        "lines_before": earlier[-1].proof["lines"] if earlier and are_interim(earlier) else [],
        "shares_before": earlier[-1].proof["shares"] if earlier and are_interim(earlier) else [],
        "whole_minor": priced.rated.total_minor,
        "charged_before_minor": charged,
        "quantity_before": format(earlier[-1].quantity, "f") if earlier else None,
        "fraction": f"{period.fraction.numerator}/{period.fraction.denominator}",
        "full_period": [period.full.start.isoformat(), period.full.end.isoformat()],
        "override": period.override_id,
        "holes": [[hole.start.isoformat(), hole.end.isoformat()] for hole in period.holes],
        "credited": [period.end.isoformat(), earlier[-1].period_end.isoformat()] if is_cut else None,
        "feature": period.rate_card.feature if is_by_usage(period.rate_card) else None,
        "stretches": [[one.customer_id, one.start.isoformat(), one.end.isoformat()] for one in priced.stretches],
        "shares": shares,
        "moved": share_correction(earlier[-1].proof["shares"], shares) if earlier else [],
        "events": None,
        "sold": {"feature": period.rate_card.feature, "tax_code": period.rate_card.tax_code},
    }


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


def _vanished(billed: Billed, looked: Look, *, now: datetime) -> list[BilledPeriod]:
    """Give back what was charged for charges that begin in the reviewed time and are there no more."""
    rows = []
    for name, earlier in billed.items():
        charged = sum(row.amount_minor for row in earlier)
        if charged and name not in looked.laid and looked.reviewed.start <= name.start <= looked.reviewed.end:
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
            "lines_before": [],
            "shares_before": [],
            "whole_minor": 0,
            "charged_before_minor": charged,
            "quantity_before": format(latest.quantity, "f"),
            "fraction": "0/1",
            "full_period": latest.proof["full_period"],
            "override": latest.proof["override"],
            "holes": [],
            "credited": [latest.period_start.isoformat(), latest.period_end.isoformat()],
            "feature": None,
            "stretches": [],
            "shares": [],
            "moved": share_correction(latest.proof["shares"], []),
            "events": None,
            "sold": latest.proof["sold"],
        },
        billed_at=now,
        invoice_id=None,
    )
