"""Estimate what unmapped usage would come to on a plan that is sold: what is billed to nobody, in money."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import find_version_in, list_plans
from tollkeeper.catalog.preview import preview_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import Plan
from tollkeeper.catalog.versions import plan_spec_of
from tollkeeper.metering.measure import SUBJECT_PATH, measure
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.usage.unmapped import UnmappedUsage, spans_of
from tollkeeper.usage.usage_of import question_of

MOST_PLANS = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """What each subject's unmapped usage would come to by itself, in minor units, by subject."""

    currency: str
    amounts_minor: Mapping[str, int]


def plans_on_sale(session: Session) -> list[Plan]:
    """Return the plans with a published version, the one with the most active subscriptions first."""
    query = select(Subscription.plan_key, func.count()).where(Subscription.status == "active")
    counts: dict[str, int] = dict(session.execute(query.group_by(Subscription.plan_key)).all())
    sold = [
        plan
        for plan in list_plans(session, limit=MOST_PLANS)
        if plan.archived_at is None and find_version_in(session, plan, "published") is not None
    ]
    return sorted(sold, key=lambda plan: (-counts.get(plan.key, 0), plan.key))


def estimate_unmapped(session: Session, found: Sequence[UnmappedUsage], plan: Plan) -> Estimate:
    """Price the usage of each subject as one full period of the plan's last phase, by the version on sale.

    An estimate: whatever its age, the usage counts as one period's, and each subject begins the tiers by
    itself. Fees, and prices of features that the subject did not use, are left out.
    """
    version = find_version_in(session, plan, "published")
    assert version is not None, "the caller chose a plan on sale"
    spec = plan_spec_of(version)
    used = _usage_by_subject(session, found, spec)
    return Estimate(
        spec.currency,
        {one.subject: _price(spec, used.get(one.subject, {})) for one in found},
    )


def _usage_by_subject(
    session: Session, found: Sequence[UnmappedUsage], spec: PlanSpec
) -> dict[str, dict[str, tuple[Decimal, int]]]:
    spans = spans_of(found)
    cards = spec.phases[-1].rate_cards
    priced = sorted({card.feature for card in cards if card.feature and card.price and card.price.type != "flat"})
    used: dict[str, dict[str, tuple[Decimal, int]]] = defaultdict(dict)
    for feature in priced:
        groups = measure(session, question_of(session, feature, (SUBJECT_PATH,)), spans)
        for (subject,), part in groups.items():
            quantity = part.quantity()
            if subject is not None and quantity:
                used[subject][feature] = (quantity, part.event_count)
    return used


def _price(spec: PlanSpec, used: Mapping[str, tuple[Decimal, int]]) -> int:
    cards = preview_plan(
        spec,
        {feature: quantity for feature, (quantity, _) in used.items()},
        event_counts={feature: events for feature, (_, events) in used.items()},
    )
    flat = {card.key for card in spec.phases[-1].rate_cards if card.price and card.price.type == "flat"}
    return sum(card.rated.total_minor for card in cards if card.feature in used and card.key not in flat)
