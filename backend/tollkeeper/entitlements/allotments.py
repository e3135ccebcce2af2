"""What a subscription entitles its customer to at an instant; pure once the timeline is loaded."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from tollkeeper.catalog.spec import MeteredEntitlement, RateCard, StaticEntitlement
from tollkeeper.entitlements.verdict import Quota
from tollkeeper.subscriptions.periods import Period, period_at
from tollkeeper.subscriptions.timeline import Segment, Timeline

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
    """Return what the plan's phase at the instant entitles to; nothing outside the subscription's time."""
    segment = timeline.segment_at(instant)
    if segment is None:
        return []
    return list(_of_segment(timeline, segment, instant))


def limit_id_of(*names: str) -> str:
    """Return the id of a limit: the same for ever for the same names, so that logs and refusals agree."""
    return "lim_" + hashlib.sha256("\0".join(names).encode()).hexdigest()[:20]


def _of_segment(timeline: Timeline, segment: Segment, instant: datetime) -> Iterator[Allotment]:
    is_paused = timeline.pause_at(instant) is not None
    for card in segment.phase.rate_cards:
        if card.feature is None:
            continue
        allotment = _allotment(timeline, segment, card, card.feature)
        if is_paused:
            yield _paused(timeline, card, allotment, instant)
        elif card.entitlement is not None:
            yield _of_card(timeline, card, allotment, instant)


def _allotment(timeline: Timeline, segment: Segment, card: RateCard, feature_key: str) -> Allotment:
    subscription = timeline.subscription
    return Allotment(
        limit_id=limit_id_of(subscription.id, card.key),
        subscription_id=subscription.id,
        customer_id=subscription.customer_id,
        plan_version_id=segment.plan_version_id,
        rate_card_key=card.key,
        feature_key=feature_key,
    )


def _paused(timeline: Timeline, card: RateCard, allotment: Allotment, instant: datetime) -> Allotment:
    metered = card.entitlement if isinstance(card.entitlement, MeteredEntitlement) else None
    period = usage_period(timeline, metered.usage_period if metered else card.billing_cadence, instant)
    return replace(allotment, quota=NOTHING, period=period, status=PAUSED_STATUS, is_paused=True)


def _of_card(timeline: Timeline, card: RateCard, allotment: Allotment, instant: datetime) -> Allotment:
    match card.entitlement:
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
