"""What one subscription has beside its plan, over the API: add-ons, and prices of its own."""

from decimal import Decimal
from typing import Annotated, Any

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.catalog.words import Key
from tollkeeper.rating.decimals import NonNegative
from tollkeeper.subscriptions.add_ons import AddOnDraft, attach, set_add_on_quantity
from tollkeeper.subscriptions.override import Act, OverrideDraft, override
from tollkeeper.subscriptions.timeline import override_of
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.api.subscription_out import OverrideOut, SubscriptionOut, describe_one, describe_override
from tollkeeper.web.api.subscriptions import When
from tollkeeper.web.context import transaction, web_context

blueprint = Blueprint("api_subscription_parts", __name__, url_prefix="/api/v1/subscriptions")


class AttachIn(BaseModel):
    """Which add-on, how many, from when and until when."""

    model_config = ConfigDict(extra="forbid")

    add_on: Annotated[str, Field(description="Key; its published version is taken.")]
    quantity: Annotated[NonNegative, Field(description="A whole number; 1 unless there may be several.")] = Decimal(1)
    at: When = "now"
    until: Annotated[Instant | None, Field(description="By default it stays until it is detached.")] = None


class AddOnQuantityIn(BaseModel):
    """How many from then on."""

    model_config = ConfigDict(extra="forbid")

    quantity: Annotated[NonNegative, Field(description="A whole number; 0 detaches it.")]
    at: When = "now"


class OverrideIn(BaseModel):
    """What this subscription has otherwise than its plan."""

    model_config = ConfigDict(extra="forbid")

    act: Annotated[
        Act,
        Field(description="set: other terms; add: a further rate card; drop: one less; reset: as the plan has it."),
    ]
    rate_card: Annotated[Key, Field(description="Key of the rate card in its phase.")]
    phase: Annotated[Key | None, Field(description="By default the phase that holds at that time.")] = None
    terms: Annotated[
        dict[str, Any],
        Field(
            description="With set: price, discounts, commitments, unit_conversion or entitlement, null to take one "
            "away. With add: all of a rate card but its key.",
            max_length=20,
            examples=[{"price": {"type": "flat", "amount": "15.00"}}],
        ),
    ] = {}
    at: When = "period_end"


@blueprint.post("/<subscription_id>/add-ons")
@endpoint("write", body=AttachIn, answer=SubscriptionOut)
def attach_add_on(subscription_id: str, body: AttachIn) -> SubscriptionOut:
    """Attach an add-on: its fees are due beside the plan's, its limits are added to the plan's."""
    now = web_context().clock.now()
    draft = AddOnDraft(body.add_on, Decimal(body.quantity), body.until)
    with transaction() as session:
        return describe_one(session, attach(session, subscription_id, draft, at=body.at, now=now), now)


@blueprint.post("/<subscription_id>/add-ons/<key>/quantity")
@endpoint("write", body=AddOnQuantityIn, answer=SubscriptionOut)
def set_quantity_of_add_on(subscription_id: str, key: str, body: AddOnQuantityIn) -> SubscriptionOut:
    """Change how many of an add-on a subscription has; 0 detaches it."""
    now = web_context().clock.now()
    with transaction() as session:
        quantity = Decimal(body.quantity)
        changed = set_add_on_quantity(session, subscription_id, key, quantity, at=body.at, now=now)
        return describe_one(session, changed, now)


@blueprint.post("/<subscription_id>/overrides")
@endpoint("write", body=OverrideIn, answer=OverrideOut, status=201)
def override_rate_card(subscription_id: str, body: OverrideIn) -> OverrideOut:
    """Give a subscription a price of its own from an instant on; what was billed before is not changed."""
    draft = OverrideDraft(body.act, body.rate_card, body.terms, body.phase)
    with transaction() as session:
        row = override(session, subscription_id, draft, at=body.at, now=web_context().clock.now())
        return describe_override(session, override_of(row))
