"""A subscription's side of the books: its plans over time, what was billed of it, and whose usage it covers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import Plan, PlanVersion
from tollkeeper.errors import Conflict
from tollkeeper.invoices.charges import ChargeName
from tollkeeper.invoices.tables import BilledPeriod
from tollkeeper.subscriptions.coverage import Coverage, coverage_below
from tollkeeper.subscriptions.tables import Subscription, SubscriptionTerm
from tollkeeper.subscriptions.timeline import Timeline, load_timelines

Billed = Mapping[ChargeName, Sequence[BilledPeriod]]


@dataclass(frozen=True, slots=True)
class Account:
    """What billing reads of a subscription, as things are now; `billed` has each charge's rows by revision."""

    timeline: Timeline
    currency: str
    billed: Billed
    coverage: Coverage

    @property
    def subscription(self) -> Subscription:
        """Return whose account it is."""
        return self.timeline.subscription


def open_account(session: Session, subscription: Subscription, currency: str) -> Account:
    """Read one subscription's account; raises Conflict as `open_accounts` does."""
    coverage = coverage_below(session, subscription.customer_id)
    return open_accounts(session, [subscription], {subscription.id: currency}, coverage)[subscription.id]


def open_accounts(
    session: Session, subscriptions: Sequence[Subscription], currency_of: Mapping[str, str], coverage: Coverage
) -> dict[str, Account]:
    """Read the accounts of subscriptions, which are billed in these currencies, with a few queries for all.

    Raises Conflict if a plan is priced in another currency: a customer's may have been changed since it
    subscribed, and 20.00 USD are not 20.00 EUR.
    """
    _check_currency(session, currency_of)
    billed = _billed_of_each(session, list(currency_of))
    return {
        one.id: Account(timeline, currency_of[one.id], billed[one.id], coverage)
        for one, timeline in zip(subscriptions, load_timelines(session, subscriptions), strict=True)
    }


def _check_currency(session: Session, currency_of: Mapping[str, str]) -> None:
    priced = session.execute(
        select(SubscriptionTerm.subscription_id, Plan.currency)
        .join(PlanVersion, PlanVersion.plan_id == Plan.id)
        .join(SubscriptionTerm, SubscriptionTerm.plan_version_id == PlanVersion.id)
        .where(SubscriptionTerm.subscription_id.in_(currency_of))
        .order_by(SubscriptionTerm.id)
    )
    for subscription_id, priced_in in priced:
        if priced_in != currency_of[subscription_id]:
            raise Conflict(
                f"subscription {subscription_id} is priced in {priced_in}, but its payer is billed in "
                f"{currency_of[subscription_id]}; set the customer's currency back to {priced_in}"
            )


def billed_rows(session: Session, subscription_id: str) -> Billed:
    """Return every row of a subscription under the name of its charge, in order of revision."""
    return _billed_of_each(session, [subscription_id])[subscription_id]


def _billed_of_each(session: Session, subscription_ids: Sequence[str]) -> Mapping[str, Billed]:
    rows = session.scalars(
        select(BilledPeriod).where(BilledPeriod.subscription_id.in_(subscription_ids)).order_by(BilledPeriod.revision)
    )
    billed: dict[str, dict[ChargeName, list[BilledPeriod]]] = {one: defaultdict(list) for one in subscription_ids}
    for row in rows:
        billed[row.subscription_id][name_of_row(row)].append(row)
    return billed


def name_of_row(row: BilledPeriod) -> ChargeName:
    """Return the name of the charge that a row belongs to."""
    return ChargeName(row.subscription_id, row.term_id, row.phase_key, row.rate_card_key, row.period_start)
