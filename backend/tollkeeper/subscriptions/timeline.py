"""Lay a subscription's plans and phases out in time: which rate cards hold when."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.spec import Phase, RateCard
from tollkeeper.catalog.tables import Plan, PlanKind, PlanVersion
from tollkeeper.catalog.versions import Spec, spec_of
from tollkeeper.subscriptions.periods import Period, shift
from tollkeeper.subscriptions.tables import (
    Subscription,
    SubscriptionOverride,
    SubscriptionPause,
    SubscriptionQuantity,
    SubscriptionTerm,
)

FOR_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time in which one phase of one plan version holds; `end` is None while it is open.

    `began` is when the phase began, which is before `start` if a migration took the subscription over inside it.
    With `keeps_fees` a fee in advance that the end cuts is due in full. `plan_id` is the plan's or the add-on's,
    `quantity` how many of the add-on there are.
    """

    term_id: str
    plan_version_id: str
    phase: Phase
    start: datetime
    end: datetime | None
    began: datetime | None = None
    keeps_fees: bool = False
    plan_id: str = ""
    quantity: Decimal = Decimal(1)

    def contains(self, instant: datetime) -> bool:
        """Tell whether the phase holds at the instant."""
        return self.start <= instant and (self.end is None or instant < self.end)


@dataclass(frozen=True, slots=True)
class Content:
    """A version's content, and of which plan or add-on it is."""

    plan_id: str
    plan_key: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class QuantityChange:
    """From an instant on, this many of a rate card."""

    rate_card_key: str
    quantity: Decimal
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Override:
    """From an instant on, a rate card of a plan's phase is this one for the subscription (SubscriptionOverride)."""

    id: str
    plan_id: str
    phase_key: str
    rate_card_key: str
    rate_card: RateCard | None
    is_added: bool
    is_reset: bool
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Timeline:
    """A subscription, the segments of its plan in order, and its quantities, pauses and overrides in order.

    `add_ons` are segments, too, which overlap those of the plan. held_cards.py says what holds when of all this.
    """

    subscription: Subscription
    segments: Sequence[Segment]
    quantities: Sequence[QuantityChange]
    pauses: Sequence[Period] = ()
    add_ons: Sequence[Segment] = ()
    overrides: Sequence[Override] = ()

    def segment_at(self, instant: datetime) -> Segment | None:
        """Return what holds at the instant, or None before the start, after the end and after the last phase."""
        return next((segment for segment in self.segments if segment.contains(instant)), None)

    def quantity_at(self, card: RateCard, instant: datetime) -> Decimal:
        """Return how many of a flat rate card hold at the instant; 1 for what has no quantity."""
        changes = [one for one in self.quantities if one.rate_card_key == card.key and one.starts_at <= instant]
        return changes[-1].quantity if changes else default_quantity(card)

    def pause_at(self, instant: datetime) -> Period | None:
        """Return the pause at the instant; one without an end lasts for ever."""
        return next((pause for pause in self.pauses if pause.contains(instant)), None)


def default_quantity(card: RateCard) -> Decimal:
    """Return the number that the plan itself gives for a flat price; 1 for every other price."""
    quantity = getattr(card.price, "quantity", None)
    return Decimal(1) if quantity is None else Decimal(quantity)


def load_timeline(session: Session, subscription: Subscription) -> Timeline:
    """Return the timeline of one subscription."""
    return load_timelines(session, [subscription])[0]


def load_timelines(session: Session, subscriptions: Sequence[Subscription]) -> list[Timeline]:
    """Return the timelines of many subscriptions, in their order, with five queries per thousand."""
    timelines: list[Timeline] = []
    contents: dict[str, Content] = {}
    for first in range(0, len(subscriptions), 1000):
        some = subscriptions[first : first + 1000]
        ids = [subscription.id for subscription in some]
        terms = _terms_of(session, ids)
        quantities = _quantities_of(session, ids)
        pauses = _pauses_of(session, ids)
        overrides = _overrides_of(session, ids)
        _load_contents(session, contents, (term.plan_version_id for many in terms.values() for term in many))
        timelines.extend(
            Timeline(
                one,
                lay_segments(one, terms[one.id], contents),
                quantities.get(one.id, ()),
                pauses.get(one.id, ()),
                lay_add_ons(one, terms[one.id], contents),
                overrides.get(one.id, ()),
            )
            for one in some
        )
    return timelines


def lay_segments(
    subscription: Subscription, terms: Sequence[SubscriptionTerm], contents: Mapping[str, Content]
) -> list[Segment]:
    """Return the segments of a plan's terms by start: each runs until the next one or the subscription's end."""
    segments: list[Segment] = []
    terms = [term for term in terms if term.kind == PlanKind.PLAN]
    for index, term in enumerate(terms):
        next_start = terms[index + 1].starts_at if index + 1 < len(terms) else None
        end = _earlier(next_start, subscription.ends_at)
        segments.extend(_segments_of_term(term, end, contents[term.plan_version_id], subscription))
    if segments and segments[-1].end is not None and segments[-1].end == subscription.ends_at:
        segments[-1] = replace(segments[-1], keeps_fees=subscription.is_rest_forfeited)
    return segments


def lay_add_ons(
    subscription: Subscription, terms: Sequence[SubscriptionTerm], contents: Mapping[str, Content]
) -> list[Segment]:
    """Return the stretches of the add-ons; the keys of their rate cards begin with the add-on's."""
    segments = []
    for term in terms:
        start, end = max(term.starts_at, subscription.started_at), _earlier(term.ends_at, subscription.ends_at)
        if term.kind == PlanKind.ADD_ON and (end is None or end > start):
            content = contents[term.plan_version_id]
            (phase,) = content.spec.in_currency(subscription.currency).phases
            cards = [card.model_copy(update={"key": f"{content.plan_key}/{card.key}"}) for card in phase.rate_cards]
            segments.append(
                Segment(
                    term.id,
                    term.plan_version_id,
                    phase.model_copy(update={"rate_cards": tuple(cards)}),
                    start,
                    end,
                    keeps_fees=subscription.is_rest_forfeited and end == subscription.ends_at,
                    plan_id=content.plan_id,
                    quantity=term.quantity,
                )
            )
    return segments


def _segments_of_term(
    term: SubscriptionTerm, term_end: datetime | None, content: Content, subscription: Subscription
) -> Iterable[Segment]:
    began = term.phases_from or term.starts_at
    for phase in _phases_from(content.spec.in_currency(subscription.currency), term.first_phase_key):
        phase_end = None if phase.duration is None else shift(began, phase.duration, subscription.time_zone)
        start, end = max(began, term.starts_at), _earlier(phase_end, term_end)
        if end is None or end > start:
            yield Segment(term.id, term.plan_version_id, phase, start, end, began, plan_id=content.plan_id)
        if phase_end is None or (term_end is not None and phase_end >= term_end):
            return
        began = phase_end


def _phases_from(spec: Spec, key: str | None) -> Sequence[Phase]:
    keys = [phase.key for phase in spec.phases]
    return spec.phases if key is None else spec.phases[keys.index(key) :]


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)


def _terms_of(session: Session, subscription_ids: Sequence[str]) -> dict[str, list[SubscriptionTerm]]:
    rows = session.scalars(
        select(SubscriptionTerm)
        .where(SubscriptionTerm.subscription_id.in_(subscription_ids), SubscriptionTerm.removed_at.is_(None))
        .order_by(SubscriptionTerm.starts_at)
    )
    terms: dict[str, list[SubscriptionTerm]] = {}
    for term in rows:
        terms.setdefault(term.subscription_id, []).append(term)
    return terms


def _quantities_of(session: Session, subscription_ids: Sequence[str]) -> dict[str, list[QuantityChange]]:
    rows = session.scalars(
        select(SubscriptionQuantity)
        .where(SubscriptionQuantity.subscription_id.in_(subscription_ids))
        .order_by(SubscriptionQuantity.starts_at)
    )
    changes: dict[str, list[QuantityChange]] = {}
    for row in rows:
        change = QuantityChange(row.rate_card_key, row.quantity, row.starts_at)
        changes.setdefault(row.subscription_id, []).append(change)
    return changes


def _pauses_of(session: Session, subscription_ids: Sequence[str]) -> dict[str, list[Period]]:
    rows = session.scalars(
        select(SubscriptionPause)
        .where(SubscriptionPause.subscription_id.in_(subscription_ids), SubscriptionPause.removed_at.is_(None))
        .order_by(SubscriptionPause.starts_at)
    )
    pauses: dict[str, list[Period]] = {}
    for row in rows:
        pauses.setdefault(row.subscription_id, []).append(Period(row.starts_at, row.ends_at or FOR_EVER))
    return pauses


def _overrides_of(session: Session, subscription_ids: Sequence[str]) -> dict[str, list[Override]]:
    rows = session.scalars(
        select(SubscriptionOverride)
        .where(SubscriptionOverride.subscription_id.in_(subscription_ids), SubscriptionOverride.removed_at.is_(None))
        .order_by(SubscriptionOverride.starts_at, SubscriptionOverride.id)
    )
    overrides: dict[str, list[Override]] = {}
    for row in rows:
        overrides.setdefault(row.subscription_id, []).append(override_of(row))
    return overrides


def override_of(row: SubscriptionOverride) -> Override:
    """Return an override with its rate card read."""
    card = None if row.rate_card is None else RateCard.model_validate(row.rate_card)
    return Override(
        row.id, row.plan_id, row.phase_key, row.rate_card_key, card, row.is_added, row.is_reset, row.starts_at
    )


def _load_contents(session: Session, contents: dict[str, Content], version_ids: Iterable[str]) -> None:
    missing = set(version_ids) - contents.keys()
    found = select(PlanVersion, Plan.key).join(Plan, Plan.id == PlanVersion.plan_id)
    for version, plan_key in session.execute(found.where(PlanVersion.id.in_(missing))):
        contents[version.id] = Content(version.plan_id, plan_key, spec_of(version))
