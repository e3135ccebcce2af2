"""Show the next invoice as it stands: what waits, what is due, and the running periods so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import Plan, PlanVersion
from tollkeeper.catalog.versions import spec_of
from tollkeeper.credits.draw import plan_draws
from tollkeeper.customers.customers import family_of, payer_of
from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.charges import name_of, price_charge
from tollkeeper.invoices.draft import sort_rows, waiting_rows
from tollkeeper.invoices.prepaid import word_draw
from tollkeeper.invoices.settle import gather_rows, open_account, row_of_charge
from tollkeeper.invoices.tables import PREPAID_CREDIT, BilledPeriod
from tollkeeper.invoices.wording import word_lines
from tollkeeper.subscriptions.billing_periods import billing_periods
from tollkeeper.subscriptions.coverage import coverage_below
from tollkeeper.subscriptions.tables import Subscription

A_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """A line that the next invoice would have."""

    customer_id: str
    subscription_id: str | None
    rate_card_key: str | None
    kind: str
    description: str
    quantity: Decimal
    unit_price: Decimal | None
    amount_minor: int
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """The payer's next invoice as it stands; nothing of it is written down."""

    customer_id: str
    currency: str
    as_of: datetime
    lines: list[PreviewLine]

    @property
    def total_minor(self) -> int:
        """Return the sum of the lines."""
        return sum(line.amount_minor for line in self.lines)


def preview_invoice(session: Session, customer: Customer, *, now: datetime) -> Preview:
    """Return what the customer's payer would be billed if the running periods ended now.

    Fees of the next periods are not in it; a minimum commitment is, as it will be due at the period's end, and
    so is the prepaid credit that would be drawn.
    """
    payer = payer_of(session, customer)
    family = family_of(session, payer.id)
    rows = waiting_rows(session, [member.id for member in family])
    subscriptions = session.scalars(
        select(Subscription).where(Subscription.customer_id.in_([member.id for member in family]))
    ).all()
    with session.no_autoflush:
        for subscription in subscriptions:
            rows += gather_rows(session, subscription, payer.currency, until=now, now=now)
            rows += _running_rows(session, subscription, payer.currency, rows, now=now)
        lines = _lines(session, sort_rows(rows, family))
        return Preview(payer.id, payer.currency, now, lines + _credit_lines(session, payer, lines, now=now))


def _credit_lines(
    session: Session, payer: Customer, lines: Sequence[PreviewLine], *, now: datetime
) -> list[PreviewLine]:
    due = sum(line.amount_minor for line in lines)
    if due <= 0:
        return []
    start, end = min(line.period_start for line in lines), max(line.period_end for line in lines)
    words = map(word_draw, plan_draws(session, payer.id, payer.currency, due, at=now))
    return [
        PreviewLine(
            payer.id, None, None, PREPAID_CREDIT, one.description, Decimal(1), None, one.amount_minor, start, end
        )
        for one in words
    ]


def revenue_so_far(session: Session, customer: Customer, *, now: datetime) -> int:
    """Return what the running periods of a customer's own subscriptions come to so far, in minor units.

    That is with the usage of the subsidiaries that they cover, and whether it is billed in advance or not. What
    is priced in another currency than the customer's has no part in it: it cannot be billed (`open_account`).
    """
    subscriptions = session.scalars(
        select(Subscription)
        .join(Plan, Plan.key == Subscription.plan_key)
        .where(Subscription.customer_id == customer.id, Plan.currency == customer.currency)
    ).all()
    coverage = coverage_below(session, customer.id)
    return sum(
        price_charge(session, period, customer.currency, coverage).rated.total_minor
        for subscription in subscriptions
        for period in billing_periods(session, subscription, since=now + A_MOMENT, until=now + A_MOMENT)
        if period.start <= now < period.end
    )


def _running_rows(
    session: Session, subscription: Subscription, currency: str, known: Sequence[BilledPeriod], *, now: datetime
) -> list[BilledPeriod]:
    account = open_account(session, subscription, currency)
    gathered = {(row.subscription_id, row.term_id, row.phase_key, row.rate_card_key, row.period_start) for row in known}
    rows = []
    for period in billing_periods(session, subscription, since=now + A_MOMENT, until=now + A_MOMENT):
        name = name_of(period)
        key = (name.subscription_id, name.term_id, name.phase_key, name.rate_card_key, name.start)
        if period.due_at <= now or key in gathered:
            continue
        row = row_of_charge(session, period, account, now=now)
        if row is not None:
            rows.append(row)
    return rows


def _lines(session: Session, rows: Sequence[BilledPeriod]) -> list[PreviewLine]:
    lines: list[PreviewLine] = []
    for row in rows:
        plan = spec_of(session.get_one(PlanVersion, row.plan_version_id)).name
        lines += [
            PreviewLine(
                row.customer_id,
                row.subscription_id,
                row.rate_card_key,
                worded.kind,
                worded.description,
                worded.quantity,
                worded.unit_price,
                worded.amount_minor,
                row.period_start,
                row.period_end,
            )
            for worded in word_lines(row, plan, row.rate_card_key)
        ]
    return lines
