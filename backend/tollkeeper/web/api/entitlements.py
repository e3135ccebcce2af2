"""What a customer may use, and how much of it was used."""

from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint
from pydantic import BaseModel, Field

from tollkeeper.entitlements.balances import entitlement_balances
from tollkeeper.entitlements.explain import describe_balance
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.context import snapshot, web_context

blueprint = Blueprint("api_entitlements", __name__, url_prefix="/api/v1")


class UsedByOut(BaseModel):
    """What one covered customer used."""

    customer: str
    used: str
    events: int


class EntitlementOut(BaseModel):
    """An entitlement; limit, used, remaining and period are of metered ones, config of static ones."""

    limit_id: Annotated[str, Field(description="As in refusals and in the verdict feed.")]
    subscription_id: str
    plan_version_id: str
    rate_card: str
    feature: str
    type: Annotated[str, Field(description="metered, boolean or static")]
    config: dict[str, Any] | None
    limit: str | None
    hard: bool | None
    used: str | None
    remaining: str | None
    period_start: datetime | None
    period_end: datetime | None
    used_by: list[UsedByOut]
    state: Annotated[str | None, Field(description="allow, warn or deny")]
    code: str | None
    reason: str | None
    counted_at: Annotated[datetime | None, Field(description="When the verdict feed counted it last.")]


class EntitlementsOut(BaseModel):
    """All entitlements of a customer."""

    items: list[EntitlementOut]


@blueprint.get("/customers/<key_or_id>/entitlements")
@endpoint("read", answer=EntitlementsOut)
def list_entitlements(key_or_id: str) -> EntitlementsOut:
    """List what a customer may use, counted now.

    The entitlements are those of its own subscriptions, or else of the nearest parent that has any; what all
    covered customers used counts together.
    """
    with snapshot() as session:
        balances = entitlement_balances(session, key_or_id, now=web_context().clock.now())
        return EntitlementsOut(items=[EntitlementOut(**describe_balance(session, one)) for one in balances])
