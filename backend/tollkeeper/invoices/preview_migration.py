"""Say what a migration to the plan's version on sale would mean in money, before anybody is migrated."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import partial

from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer, payer_of
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.charges import price_charge
from tollkeeper.invoices.preview import preview_invoice
from tollkeeper.invoices.settle import measure_totals
from tollkeeper.subscriptions.changing import When, moment_of
from tollkeeper.subscriptions.coverage import coverage_below
from tollkeeper.subscriptions.held_cards import held_at
from tollkeeper.subscriptions.migrate import migrate
from tollkeeper.subscriptions.periods import period_at
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import Timeline, load_timeline
from tollkeeper.subscriptions.types import BillingPeriod


@dataclass(frozen=True, slots=True)
class Amounts:
    """The payer's next invoice, and a whole period of each rate card with the usage of the running one."""

    next_invoice_minor: int
    whole_period_minor: int


@dataclass(frozen=True, slots=True)
class PreviewedMigration:
    """What a migration of one subscription at `moment` would change; `problem` says why it could not be,
    or why its money cannot be said (a payer whose tax is not known): the others are previewed all the same.

    The next invoice is what would be billed if nothing more were used until `billed_until`, with what falls
    due at that instant.
    """

    subscription_id: str
    customer_key: str
    payer_key: str
    currency: str
    moment: datetime | None = None
    billed_until: datetime | None = None
    before: Amounts | None = None
    after: Amounts | None = None
    problem: str | None = None


def preview_migration(session: Session, subscription: Subscription, *, at: When, now: datetime) -> PreviewedMigration:
    """Migrate, look, and roll back to a savepoint: nothing stays. The session must be one that may write."""
    customer = get_customer(session, subscription.customer_id)
    payer = payer_of(session, customer)
    told = (subscription.id, customer.key, payer.key, payer.currency)
    timeline = load_timeline(session, subscription)
    try:
        moment = moment_of(timeline, at, now=now)
        until = max(moment, moment_of(timeline, "period_end", now=now)) if moment == now else moment
    except InvalidInput as error:
        return PreviewedMigration(*told, problem=error.message)
    savepoint = session.begin_nested()
    try:
        before = _amounts(session, timeline, payer, moment, until, now=now)
        migrate(session, subscription.id, at=at, now=now)
        after = _amounts(session, load_timeline(session, subscription), payer, moment, until, now=now)
    except (Conflict, InvalidInput) as error:
        return PreviewedMigration(*told, problem=error.message)
    finally:
        savepoint.rollback()
    return PreviewedMigration(*told, moment, until, before, after)


def _amounts(
    session: Session, timeline: Timeline, payer: Customer, moment: datetime, until: datetime, *, now: datetime
) -> Amounts:
    bill = preview_invoice(session, payer, now=until)
    periods = _whole_periods(timeline, moment, now=now)
    coverage = coverage_below(session, timeline.subscription.customer_id)
    measure = partial(measure_totals, session)
    whole = sum(price_charge(one, payer.currency, coverage, measure).rated.total_minor for one in periods)
    return Amounts(bill.total_minor, whole)


def _whole_periods(timeline: Timeline, moment: datetime, *, now: datetime) -> Sequence[BillingPeriod]:
    subscription = timeline.subscription
    periods = []
    for held in held_at(timeline, moment):
        if held.card.price is None:
            continue
        full = period_at(subscription.anchor, held.card.billing_cadence, subscription.time_zone, now)
        periods.append(
            BillingPeriod(
                subscription_id=subscription.id,
                customer_id=subscription.customer_id,
                term_id=held.term_id,
                plan_version_id=held.plan_version_id,
                phase_key=held.phase_key,
                rate_card=held.card,
                quantity=timeline.quantity_at(held.card, now) * held.quantity,
                start=full.start,
                end=full.end,
                full=full,
                fraction=Fraction(1),
                due_at=full.end,
            )
        )
    return periods
