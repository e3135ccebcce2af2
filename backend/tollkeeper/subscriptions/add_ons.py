"""Attach add-ons to a subscription, change how many there are, detach them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.add_on_spec import AddOnSpec
from tollkeeper.catalog.plans import get_plan, get_published_version
from tollkeeper.catalog.spec import MeteredEntitlement
from tollkeeper.catalog.tables import PlanKind, PlanVersion
from tollkeeper.catalog.versions import spec_of
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.changing import When, finish_change, lock_subscription, moment_of
from tollkeeper.subscriptions.held_cards import held_at
from tollkeeper.subscriptions.subscribe import check_currency
from tollkeeper.subscriptions.tables import Subscription, SubscriptionTerm
from tollkeeper.subscriptions.timeline import Timeline, load_timeline

MOST_INSTANCES = 1_000_000
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class AddOnDraft:
    """Which add-on, how many of it, and until when."""

    key: str
    quantity: Decimal = ONE
    until: datetime | None = None


def attach(session: Session, subscription_id: str, draft: AddOnDraft, *, at: When, now: datetime) -> Subscription:
    """Add the add-on's version on sale to the subscription from `at` until an instant, or until it is detached.

    Its fees are due for that time, beside the plan's and by the subscription's calendar; its limits are added to
    the plan's. It stays when the plan changes. Raises NotFound, InvalidInput for a wrong number, currency, end or
    usage period, Conflict when it is attached at some of that time already.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    moment = moment_of(timeline, at, now=now)
    version = get_published_version(session, draft.key, kind=PlanKind.ADD_ON)
    spec = spec_of(version)
    assert isinstance(spec, AddOnSpec)
    check_currency(spec, subscription.currency, "/add_on")
    _check_quantity(spec, draft.quantity)
    if draft.until is not None and draft.until <= moment:
        raise InvalidInput.of("/until", "is not after the start")
    if subscription.ends_at is not None and subscription.ends_at <= moment:
        raise Conflict("the subscription ends before that time", code="subscription_ended")
    _refuse_overlap(timeline, version.plan_id, draft, moment)
    _check_limits(timeline, spec, moment)
    session.add(_term(subscription, version.id, draft.quantity, moment, draft.until))
    return finish_change(session, timeline, moment=moment)


def set_add_on_quantity(
    session: Session, subscription_id: str, add_on_key: str, quantity: Decimal, *, at: When, now: datetime
) -> Subscription:
    """Let there be so many of the add-on from `at` on; 0 detaches it. It stays on its version, until its end.

    Another number that was planned for later is taken back, as with seats.
    Raises NotFound, InvalidInput for a wrong number, Conflict when it is not attached at that time.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    moment = moment_of(timeline, at, now=now)
    plan_id = get_plan(session, add_on_key, kind=PlanKind.ADD_ON).id
    held = next((one for one in timeline.add_ons if one.plan_id == plan_id and one.contains(moment)), None)
    if held is None:
        raise Conflict(f"the add-on {add_on_key!r} is not attached at that time", code="not_attached")
    term = session.get_one(SubscriptionTerm, held.term_id)
    spec = spec_of(session.get_one(PlanVersion, term.plan_version_id))
    assert isinstance(spec, AddOnSpec)
    end = _take_back_later(session, timeline, term, now=now)
    if quantity != 0:
        _check_quantity(spec, quantity)
        session.add(_term(subscription, term.plan_version_id, quantity, moment, end))
    if term.starts_at >= moment:
        term.removed_at = now
    term.ends_at = moment
    return finish_change(session, timeline, moment=moment)


def _take_back_later(session: Session, timeline: Timeline, term: SubscriptionTerm, *, now: datetime) -> datetime | None:
    """Take back the terms that go on without a gap after this one; return when the last of them was to end."""
    end = term.ends_at
    plan_id = next(one.plan_id for one in timeline.add_ons if one.term_id == term.id)
    for one in sorted(timeline.add_ons, key=lambda one: one.start):
        if one.plan_id == plan_id and one.start == end:
            later = session.get_one(SubscriptionTerm, one.term_id)
            later.removed_at = now
            end = later.ends_at
    return end


def undo_add_ons(session: Session, subscription: Subscription, now: datetime) -> datetime | None:
    """Take back what is still to come of add-ons: starts, other numbers, and ends, which are open again.

    Returns the first instant that this changes, or None if nothing is to come.
    """
    terms = session.scalars(
        select(SubscriptionTerm)
        .where(
            SubscriptionTerm.subscription_id == subscription.id,
            SubscriptionTerm.kind == PlanKind.ADD_ON,
            SubscriptionTerm.removed_at.is_(None),
        )
        .order_by(SubscriptionTerm.starts_at)
    ).all()
    moments = []
    for term in terms:
        if term.starts_at > max(now, subscription.started_at):
            term.removed_at = now
            moments.append(term.starts_at)
        elif term.ends_at is not None and term.ends_at > now:
            moments.append(term.ends_at)
            term.ends_at = None
    return min(moments, default=None)


def _term(
    subscription: Subscription, version_id: str, quantity: Decimal, start: datetime, end: datetime | None
) -> SubscriptionTerm:
    return SubscriptionTerm(
        id=new_id("term"),
        subscription_id=subscription.id,
        kind=PlanKind.ADD_ON,
        plan_version_id=version_id,
        quantity=quantity,
        starts_at=start,
        ends_at=end,
    )


def _check_quantity(spec: AddOnSpec, quantity: Decimal) -> None:
    if quantity != quantity.to_integral_value() or not 1 <= quantity <= MOST_INSTANCES:
        raise InvalidInput.of("/quantity", f"must be a whole number from 1 to {MOST_INSTANCES}")
    if spec.instances == "single" and quantity != 1:
        raise InvalidInput.of("/quantity", "must be 1: a subscription has one of this add-on at most")


def _refuse_overlap(timeline: Timeline, plan_id: str, draft: AddOnDraft, start: datetime) -> None:
    end = draft.until
    for one in timeline.add_ons:
        if one.plan_id == plan_id and (end is None or one.start < end) and (one.end is None or one.end > start):
            raise Conflict(
                f"the add-on {draft.key!r} is attached from {one.start.isoformat()}; change its quantity instead",
                code="already_attached",
            )


def _check_limits(timeline: Timeline, spec: AddOnSpec, moment: datetime) -> None:
    """A limit can only be added to one of the same usage period: else it would be paid for and change nothing."""
    for held in held_at(timeline, moment):
        own = held.card.entitlement
        for place, card in enumerate(spec.rate_cards):
            more = card.entitlement
            if card.feature != held.card.feature or not isinstance(more, MeteredEntitlement):
                continue
            if isinstance(own, MeteredEntitlement) and own.usage_period != more.usage_period:
                raise InvalidInput.of(
                    f"/add_on/rate_cards/{place}/entitlement/usage_period",
                    f"is {more.usage_period}, but the plan's limit on {card.feature!r} is per {own.usage_period}",
                )
