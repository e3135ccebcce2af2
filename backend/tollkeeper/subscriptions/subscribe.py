"""Put a customer on a plan: now, later or backdated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import get_plan, get_published_version
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.versions import Spec, plan_spec_of
from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.storage.changes import note_change
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.billing_periods import next_due
from tollkeeper.subscriptions.changing import TOPIC
from tollkeeper.subscriptions.periods import time_zone_of
from tollkeeper.subscriptions.tables import Subscription, SubscriptionQuantity, SubscriptionTerm
from tollkeeper.subscriptions.timeline import load_timeline, load_timelines


@dataclass(frozen=True, slots=True)
class SubscribeOptions:
    """What may differ from the customer's and the plan's own: None means theirs.

    `anchor` sets where periods begin, for example the first of a month; without it they begin at the start.
    """

    anchor: datetime | None = None
    time_zone: str | None = None
    ends_at: datetime | None = None
    quantities: Mapping[str, Decimal] = field(default_factory=dict)


DEFAULTS = SubscribeOptions()


def subscribe(
    session: Session,
    customer_id: str,
    plan_key: str,
    *,
    start: datetime,
    now: datetime,
    options: SubscribeOptions = DEFAULTS,
) -> Subscription:
    """Put the customer on the plan's published version from `start`, which may be past or to come.

    `customer_id` is the id or the key. Raises NotFound for an unknown customer or plan, InvalidInput for an
    archived customer, another currency or an unknown rate card, and Conflict when the customer is on the same
    plan at some time of it: a second one would charge twice for the same usage.
    """
    customer = _lock_customer(session, get_customer(session, customer_id))
    version = get_published_version(session, plan_key)
    spec = plan_spec_of(version)
    _check(customer, spec, options, start)
    refuse_overlap(session, customer.id, plan_key, start=start, ends_at=options.ends_at)
    subscription = Subscription(
        id=new_id("sub"),
        customer_id=customer.id,
        plan_key=plan_key,
        plan_version_id=version.id,
        status="active" if options.ends_at is None else "canceled",
        currency=customer.currency,
        time_zone=options.time_zone or customer.time_zone,
        anchor=options.anchor or start,
        started_at=start,
        ends_at=options.ends_at,
        created_at=now,
        canceled_at=None if options.ends_at is None else now,
    )
    session.add(subscription)
    session.flush()
    _add_parts(session, subscription, options)
    subscription.next_due_at = next_due(load_timeline(session, subscription), after=None)
    note_change(session, TOPIC)
    return subscription


def refuse_overlap(
    session: Session,
    customer_id: str,
    plan_key: str,
    *,
    start: datetime,
    ends_at: datetime | None,
    but: str | None = None,
) -> None:
    """Raise Conflict if the customer is on the plan at some time in `[start, ends_at)`, by another one than `but`.

    A subscription that is to leave the plan is on it until then, and one that is to change to it from then on.
    """
    plan_id = get_plan(session, plan_key).id
    others = session.scalars(
        select(Subscription)
        .where(Subscription.customer_id == customer_id, Subscription.id != (but or ""))
        .where(or_(Subscription.ends_at.is_(None), Subscription.ends_at > start))
        .order_by(Subscription.started_at)
    ).all()
    for timeline in load_timelines(session, others):
        for one in timeline.segments:
            is_before = one.end is not None and one.end <= start
            if one.plan_id == plan_id and not is_before and (ends_at is None or one.start < ends_at):
                until = f" until {one.end.isoformat()}" if one.end else ""
                raise Conflict(
                    f"the customer is on plan {plan_key!r} since {one.start.isoformat()}{until} "
                    f"({timeline.subscription.id}); cancel or change that subscription",
                    code="already_subscribed",
                )


def _lock_customer(session: Session, customer: Customer) -> Customer:
    """Make subscribers of one customer wait for each other, so that the check for overlaps holds."""
    return session.scalars(select(Customer).where(Customer.id == customer.id).with_for_update()).one()


def _check(customer: Customer, spec: PlanSpec, options: SubscribeOptions, start: datetime) -> None:
    if customer.archived_at is not None:
        raise InvalidInput.of("/customer", f"{customer.key!r} is archived")
    check_currency(spec, customer.currency, "/plan")
    if options.ends_at is not None and options.ends_at <= start:
        raise InvalidInput.of("/ends_at", "is not after the start")
    time_zone_of(options.time_zone or customer.time_zone)
    check_quantities(spec, options.quantities)


def check_currency(spec: Spec, currency: str, path: str) -> None:
    """Raise InvalidInput unless the plan or the add-on is priced in the customer's currency."""
    if currency not in spec.currencies:
        priced_in = ", ".join(spec.currencies)
        raise InvalidInput.of(path, f"is priced in {priced_in}, but the customer's currency is {currency}")


def check_quantities(spec: PlanSpec, quantities: Mapping[str, Decimal]) -> None:
    """Raise InvalidInput unless each key is a flat rate card of the plan and each quantity is 0 or more."""
    flat = {card.key for phase in spec.phases for card in phase.rate_cards if card.price and card.price.type == "flat"}
    for key, quantity in quantities.items():
        if key not in flat:
            raise InvalidInput.of(f"/quantities/{key}", "is no rate card with a flat price of this plan")
        if quantity < 0:
            raise InvalidInput.of(f"/quantities/{key}", "is negative")


def _add_parts(session: Session, subscription: Subscription, options: SubscribeOptions) -> None:
    session.add(
        SubscriptionTerm(
            id=new_id("term"),
            subscription_id=subscription.id,
            plan_version_id=subscription.plan_version_id,
            starts_at=subscription.started_at,
        )
    )
    session.add_all(
        SubscriptionQuantity(
            id=new_id("qty"),
            subscription_id=subscription.id,
            rate_card_key=key,
            quantity=quantity,
            starts_at=subscription.started_at,
        )
        for key, quantity in options.quantities.items()
    )
    session.flush()
