"""Which plans a customer can be put on, for the select box."""

from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import find_version_in, list_plans
from tollkeeper.catalog.tables import Plan

MOST_PLANS = 200


def sold_plans(session: Session, currency: str) -> list[Plan]:
    """Return the plans in this currency that have a published version, by name."""
    plans = [
        plan
        for plan in list_plans(session, limit=MOST_PLANS)
        if plan.archived_at is None and plan.currency == currency and find_version_in(session, plan, "published")
    ]
    return sorted(plans, key=lambda plan: plan.name)
