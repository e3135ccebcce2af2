"""Which plans a customer can be put on, for the select box."""

from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import find_version_in, list_plans
from tollkeeper.catalog.tables import Plan
from tollkeeper.catalog.versions import plan_spec_of

MOST_PLANS = 200


def sold_plans(session: Session, currency: str) -> list[Plan]:
    """Return the plans in this currency that have a published version, by name."""
    plans = []
    for plan in list_plans(session, limit=MOST_PLANS):
        sold = find_version_in(session, plan, "published") if plan.archived_at is None else None
        if sold is not None and currency in plan_spec_of(sold).currencies:
            plans.append(plan)
    return sorted(plans, key=lambda plan: plan.name)
