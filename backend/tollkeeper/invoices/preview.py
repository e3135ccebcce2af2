"""Show the next invoice as it stands: what waits, what is due, and the running periods so far."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import family_of, payer_of
from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.accounts import Account, open_account
from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.charges import name_of, price_charge
from tollkeeper.invoices.draft import lines_of, new_invoice, plan_names_of, sort_rows, waiting_rows
from tollkeeper.invoices.legal_entities import find_terms
from tollkeeper.invoices.settle import gather_rows, measure_totals, row_of_charge
from tollkeeper.invoices.steps import foresee_steps
from tollkeeper.invoices.tables import BilledPeriod, ChargeKind
from tollkeeper.subscriptions.billing_periods import billing_periods, lay_billing_periods
from tollkeeper.subscriptions.coverage import coverage_below
from tollkeeper.subscriptions.tables import Subscription

A_MOMENT = timedelta(microseconds=1)


def preview_invoice(session: Session, customer: Customer, *, now: datetime) -> Bill:
    """Return what the customer's payer would be billed if the running periods ended now; nothing is written down.

    Fees of the next periods are not in it; a minimum commitment is, as it will be due at the period's end, and
    so is what the steps after the charges would do.
    """
    payer = payer_of(session, customer)
    family = family_of(session, payer.id)
    rows = waiting_rows(session, family)
    subscriptions = session.scalars(
        select(Subscription).where(Subscription.customer_id.in_([member.id for member in family]))
    ).all()
    with session.no_autoflush:
        for subscription in subscriptions:
            account = open_account(session, subscription, payer.currency)
            rows += gather_rows(session, account, until=now, now=now)
            rows += _running_rows(session, account, rows, now=now)
        invoice = new_invoice(payer, rows, now=now)
        terms = find_terms(session, payer.id)
        invoice.legal_entity = (terms and terms.legal_entity) or invoice.legal_entity
        bill = Bill(invoice, payer, now, lines_of(invoice, sort_rows(rows, family), plan_names_of(session, rows)))
        foresee_steps(session, bill)
    return bill


def revenue_so_far(session: Session, customer: Customer, *, now: datetime) -> int:
    """Return what the running periods of a customer's own subscriptions come to so far, in minor units.

    That is with the usage of the subsidiaries that they cover, and whether it is billed in advance or not. What
    is priced in another currency than the customer's has no part in it: it cannot be billed (`open_account`).
    """
    subscriptions = session.scalars(
        select(Subscription).where(Subscription.customer_id == customer.id, Subscription.currency == customer.currency)
    ).all()
    coverage = coverage_below(session, customer.id)
    return sum(
        price_charge(period, customer.currency, coverage, partial(measure_totals, session)).rated.total_minor
        for subscription in subscriptions
        for period in billing_periods(session, subscription, since=now + A_MOMENT, until=now + A_MOMENT)
        if period.start <= now < period.end
    )


def _running_rows(
    session: Session, account: Account, known: Sequence[BilledPeriod], *, now: datetime
) -> list[BilledPeriod]:
    # what waits of an interim invoice is a part of its charge; the rest is still to be shown
    known = [row for row in known if row.kind != ChargeKind.INTERIM]
    gathered = {(row.subscription_id, row.term_id, row.phase_key, row.rate_card_key, row.period_start) for row in known}
    rows = []
    for period in lay_billing_periods(account.timeline, since=now + A_MOMENT, until=now + A_MOMENT):
        name = name_of(period)
        key = (name.subscription_id, name.term_id, name.phase_key, name.rate_card_key, name.start)
        if period.due_at <= now or key in gathered:
            continue
        row = row_of_charge(period, account, partial(measure_totals, session), now=now)
        if row is not None:
            rows.append(row)
    return rows
