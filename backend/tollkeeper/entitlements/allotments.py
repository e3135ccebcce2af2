"""What a subscription entitles its customer to at an instant; pure once the timeline is loaded."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from tollkeeper.catalog.spec import Entitlement, MeteredEntitlement, StaticEntitlement
from tollkeeper.entitlements.verdict import Quota
from tollkeeper.subscriptions.held_cards import HeldCard, held_at
from tollkeeper.subscriptions.periods import Period, period_at
from tollkeeper.subscriptions.timeline import Timeline

DEFAULT_STATUS = 429
PAUSED_STATUS = 402
NOTHING = Quota(Decimal(0), is_hard=True)


@dataclass(frozen=True, slots=True)
class Allotment:
    """One entitlement of a subscription; `quota`, `period` and `status` are of metered ones, `config` of static.

    While the subscription is paused, each rate card of a feature is a quota of nothing, priced or entitled.
    """

    limit_id: str
    subscription_id: str
    customer_id: str
    plan_version_id: str
    rate_card_key: str
    feature_key: str
    quota: Quota | None = None
    period: Period | None = None
    status: int = DEFAULT_STATUS
    config: Mapping[str, Any] | None = None
    is_paused: bool = False

    @property
    def kind(self) -> str:
        """Return the word of the plan's JSON for it."""
        if self.quota is not None:
            return "metered"
        return "boolean" if self.config is None else "static"


def allotments_at(timeline: Timeline, instant: datetime) -> list[Allotment]:
    """Return what the plan's phase and the add-ons at the instant entitle to; nothing outside the subscription's time.

    An add-on's limit is added to the plan's limit on the same feature and usage period. An add-on never takes
    away: a feature that the plan gives without a limit stays without one.
    """
    held = held_at(timeline, instant)
    if timeline.pause_at(instant) is not None:
        return [_paused(timeline, one, one.card.feature, instant) for one in held if one.card.feature is not None]
    return [_of_card(timeline, one, entitlement, instant) for one, entitlement in _entitled(held)]


def _entitled(held: Sequence[HeldCard]) -> list[tuple[HeldCard, Entitlement]]:
    found = [(one, one.card.entitlement) for one in held if one.card.entitlement is not None and not one.is_of_add_on]
    unlimited = {one.card.feature for one in held if one.card.entitlement is None and not one.is_of_add_on}
    for one in held:
        if one.card.entitlement is not None and one.is_of_add_on:
            _add(found, unlimited, one, one.card.entitlement)
    return found


def _add(
    found: list[tuple[HeldCard, Entitlement]], unlimited: set[str | None], extra: HeldCard, entitlement: Entitlement
) -> None:
    same = [place for place, (one, _) in enumerate(found) if one.card.feature == extra.card.feature]
    if not isinstance(entitlement, MeteredEntitlement):
        if not same:
            found.append((extra, entitlement))
        return
    more = entitlement.limit * extra.quantity
    for place in same:
        one, own = found[place]
        if isinstance(own, MeteredEntitlement) and own.usage_period == entitlement.usage_period:
            found[place] = (one, own.model_copy(update={"limit": own.limit + more}))
            return
    if not same and extra.card.feature not in unlimited:
        found.append((extra, entitlement.model_copy(update={"limit": more})))


def limit_id_of(*names: str) -> str:
    """Return the id of a limit: the same for ever for the same names, so that logs and refusals agree."""
    return "lim_" + hashlib.sha256("\0".join(names).encode()).hexdigest()[:20]


def _allotment(timeline: Timeline, held: HeldCard, feature_key: str) -> Allotment:
    subscription = timeline.subscription
    return Allotment(
        limit_id=limit_id_of(subscription.id, held.card.key),
        subscription_id=subscription.id,
        customer_id=subscription.customer_id,
        plan_version_id=held.plan_version_id,
        rate_card_key=held.card.key,
        feature_key=feature_key,
    )


def _paused(timeline: Timeline, held: HeldCard, feature_key: str, instant: datetime) -> Allotment:
    entitlement = held.card.entitlement
    metered = entitlement if isinstance(entitlement, MeteredEntitlement) else None
    period = usage_period(timeline, metered.usage_period if metered else held.card.billing_cadence, instant)
    allotment = _allotment(timeline, held, feature_key)
    return replace(allotment, quota=NOTHING, period=period, status=PAUSED_STATUS, is_paused=True)


def _of_card(timeline: Timeline, held: HeldCard, entitlement: Entitlement, instant: datetime) -> Allotment:
    assert held.card.feature is not None, "the catalog refuses an entitlement without a feature"
    allotment = _allotment(timeline, held, held.card.feature)
    match entitlement:
        case MeteredEntitlement() as metered:
            return replace(
                allotment,
                quota=Quota(metered.limit, not metered.is_soft_limit, metered.thresholds),
                period=usage_period(timeline, metered.usage_period, instant),
                status=metered.status,
            )
        case StaticEntitlement() as static:
            return replace(allotment, config=static.config)
        case _:
            return allotment


def usage_period(timeline: Timeline, cadence: str, instant: datetime) -> Period:
    """Return the period whose usage counts: it begins no earlier than the subscription, and a plan change keeps it.

    Were a change of plan to begin a new count, changing to and fro would give a new allowance each time.
    """
    subscription = timeline.subscription
    period = period_at(subscription.anchor, cadence, subscription.time_zone, instant)
    return Period(max(period.start, subscription.started_at), period.end)
