"""A subscription's side of the books: its plans over time, what was billed of it, and whose usage it covers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict
from tollkeeper.invoices.charges import ChargeName
from tollkeeper.invoices.tables import BilledPeriod, ChargeKind
from tollkeeper.subscriptions.coverage import Coverage, coverage_below
from tollkeeper.subscriptions.tables import Subscription
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

    Raises Conflict if one is priced in another currency: a customer's may have been changed since it
    subscribed, and 20.00 USD are not 20.00 EUR.
    """
    for one in subscriptions:
        _check_currency(one, currency_of[one.id])
    billed = _billed_of_each(session, list(currency_of))
    return {
        one.id: Account(timeline, currency_of[one.id], billed[one.id], coverage)
        for one, timeline in zip(subscriptions, load_timelines(session, subscriptions), strict=True)
    }


def _check_currency(subscription: Subscription, currency: str) -> None:
    if subscription.currency != currency:
        raise Conflict(
            f"subscription {subscription.id} is priced in {subscription.currency}, but its payer is billed in "
            f"{currency}; set the customer's currency back to {subscription.currency}"
        )


def are_interim(rows: Sequence[BilledPeriod]) -> bool:
    """Tell whether a charge with these rows is still to be billed: it never was, or in parts before it was due."""
    return all(row.kind == ChargeKind.INTERIM for row in rows)


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
