"""Subscriptions over the API: subscribe, cancel, change the plan or a quantity, list what is billed when."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from tollkeeper.catalog.words import Key
from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import FieldError, InvalidInput
from tollkeeper.rating.decimals import NonNegative, plain
from tollkeeper.subscriptions.billing_periods import billing_periods
from tollkeeper.subscriptions.cancel import cancel
from tollkeeper.subscriptions.change_plan import change_plan
from tollkeeper.subscriptions.changing import get_subscription
from tollkeeper.subscriptions.listing import list_subscriptions
from tollkeeper.subscriptions.migrate import migrate
from tollkeeper.subscriptions.override import Act, OverrideDraft, override_from_the_start
from tollkeeper.subscriptions.pause import pause, resume
from tollkeeper.subscriptions.set_quantity import set_quantity
from tollkeeper.subscriptions.subscribe import SubscribeOptions, subscribe
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.types import BillingPeriod
from tollkeeper.subscriptions.undo import Planned, undo
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.api.subscription_out import SubscriptionOut, describe_one
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_subscriptions", __name__, url_prefix="/api/v1/subscriptions")

When = Annotated[
    Literal["now", "period_end"] | Instant,
    Field(description="now, period_end (of the longest cadence), or an instant to come."),
]


class AgreedIn(BaseModel):
    """What the subscription has otherwise than its plan, from its start on."""

    model_config = ConfigDict(extra="forbid")

    act: Act
    rate_card: Annotated[Key, Field(description="Key of the rate card in its phase.")]
    phase: Annotated[Key | None, Field(description="By default the plan's first phase.")] = None
    terms: Annotated[dict[str, Any], Field(description="As for `POST …/overrides`.", max_length=20)] = {}


class SubscriptionIn(BaseModel):
    """A customer to be put on a plan."""

    model_config = ConfigDict(extra="forbid")

    customer: Annotated[str, Field(description="Key or id.")]
    plan: Annotated[str, Field(description="Key; its published version is taken.")]
    start: Annotated[Instant | None, Field(description="Past or to come; by default now.")] = None
    anchor: Annotated[Instant | None, Field(description="Where periods begin; by default the start.")] = None
    time_zone: Annotated[str | None, Field(description="Whose calendar; by default the customer's.")] = None
    ends_at: Annotated[Instant | None, Field(description="Exclusive; by default it goes on.")] = None
    quantities: Annotated[
        dict[str, NonNegative], Field(description="Seats by key of a flat rate card.", max_length=200)
    ] = {}
    overrides: Annotated[
        list[AgreedIn],
        Field(description="Prices of its own from the start on, if backdated too.", max_length=50),
    ] = []


class CancelIn(BaseModel):
    """When it ends."""

    model_config = ConfigDict(extra="forbid")

    at: When = "period_end"
    credit: Annotated[
        bool, Field(description="Give back fees in advance for the time after the end; without, they stay due in full.")
    ] = True


class PauseIn(BaseModel):
    """From when, and until when."""

    model_config = ConfigDict(extra="forbid")

    at: When = "now"
    until: Annotated[Instant | None, Field(description="By default it is paused until it is resumed.")] = None


class ResumeIn(BaseModel):
    """When the pause ends."""

    model_config = ConfigDict(extra="forbid")

    at: When = "now"


class UndoIn(BaseModel):
    """What was planned and is not to come."""

    model_config = ConfigDict(extra="forbid")

    planned: Annotated[Planned, Field(description="Every planned act of this kind is taken back.")]


class MigrateIn(BaseModel):
    """From when the plan's version on sale holds."""

    model_config = ConfigDict(extra="forbid")

    at: When = "period_end"


class ChangePlanIn(BaseModel):
    """Which plan, from when."""

    model_config = ConfigDict(extra="forbid")

    plan: Annotated[str, Field(description="Key; its published version is taken.")]
    at: When = "now"


class QuantityIn(BaseModel):
    """How many, from when."""

    model_config = ConfigDict(extra="forbid")

    rate_card: Annotated[str, Field(description="Key of a flat rate card of the plan.")]
    quantity: NonNegative
    at: When = "now"


class ChargeOut(BaseModel):
    """What one rate card charges for one stretch of time; prices are on invoices."""

    rate_card: str
    phase: str
    plan_version_id: str
    start: datetime
    end: datetime
    due_at: datetime
    in_advance: bool
    quantity: str
    fraction: Annotated[str, Field(description="Of the full period, as a fraction.", examples=["1", "1/2"])]


class ChargesOut(BaseModel):
    """Charges by the time that they fall due."""

    items: list[ChargeOut]


class SubscriptionQuery(PageQuery):
    """All, or a customer's."""

    customer: Annotated[str | None, Field(description="Key or id.")] = None


class ChargesQuery(BaseModel):
    """A stretch of time."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[Instant | None, Field(description="By default the start.")] = None
    until: Annotated[Instant | None, Field(description="By default now.")] = None


@blueprint.get("")
@endpoint("read", query=SubscriptionQuery, answer=Page[SubscriptionOut])
def list_all_subscriptions(query: SubscriptionQuery) -> Page[SubscriptionOut]:
    """List subscriptions, oldest first; of one customer with `customer`."""
    now = web_context().clock.now()
    with snapshot() as session:
        customer_id = get_customer(session, query.customer).id if query.customer else None
        rows = list_subscriptions(session, customer_id=customer_id, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, lambda row: describe_one(session, row, now), lambda row: row.id)


@blueprint.post("")
@endpoint("write", body=SubscriptionIn, answer=SubscriptionOut, status=201)
def create_subscription(body: SubscriptionIn) -> SubscriptionOut:
    """Put a customer on a plan: now, later or backdated."""
    now = web_context().clock.now()
    options = SubscribeOptions(body.anchor, body.time_zone, body.ends_at, body.quantities)
    with transaction() as session:
        made = subscribe(session, body.customer, body.plan, start=body.start or now, now=now, options=options)
        for place, one in enumerate(body.overrides):
            _agree(session, made, place, one, now)
        return describe_one(session, made, now)


@blueprint.get("/<subscription_id>")
@endpoint("read", answer=SubscriptionOut)
def show_subscription(subscription_id: str) -> SubscriptionOut:
    """Show one subscription."""
    with snapshot() as session:
        return describe_one(session, get_subscription(session, subscription_id), web_context().clock.now())


@blueprint.get("/<subscription_id>/charges")
@endpoint("read", query=ChargesQuery, answer=ChargesOut)
def list_charges(subscription_id: str, query: ChargesQuery) -> ChargesOut:
    """List which rate cards charge for which time, and when that falls due."""
    with snapshot() as session:
        subscription = get_subscription(session, subscription_id)
        until = query.until or web_context().clock.now()
        found = billing_periods(session, subscription, since=query.since or subscription.started_at, until=until)
        return ChargesOut(items=[_charge(period) for period in found])


@blueprint.post("/<subscription_id>/cancel")
@endpoint("write", body=CancelIn, answer=SubscriptionOut)
def cancel_subscription(subscription_id: str, body: CancelIn) -> SubscriptionOut:
    """End a subscription: now, when its period ends, or at an instant to come; with or without credit."""
    now = web_context().clock.now()
    with transaction() as session:
        ended = cancel(session, subscription_id, at=body.at, now=now, is_credited=body.credit)
        return describe_one(session, ended, now)


@blueprint.post("/<subscription_id>/pause")
@endpoint("write", body=PauseIn, answer=SubscriptionOut)
def pause_subscription(subscription_id: str, body: PauseIn) -> SubscriptionOut:
    """Pause a subscription: it charges nothing, and the gateway refuses what it is about, until it is resumed."""
    now = web_context().clock.now()
    with transaction() as session:
        return describe_one(session, pause(session, subscription_id, at=body.at, until=body.until, now=now), now)


@blueprint.post("/<subscription_id>/resume")
@endpoint("write", body=ResumeIn, answer=SubscriptionOut)
def resume_subscription(subscription_id: str, body: ResumeIn) -> SubscriptionOut:
    """End the pause that holds now, at once or at an instant to come."""
    now = web_context().clock.now()
    with transaction() as session:
        return describe_one(session, resume(session, subscription_id, at=body.at, now=now), now)


@blueprint.post("/<subscription_id>/undo")
@endpoint("write", body=UndoIn, answer=SubscriptionOut)
def undo_planned_act(subscription_id: str, body: UndoIn) -> SubscriptionOut:
    """Take back an end, a change, a pause or a quantity that is still to come."""
    now = web_context().clock.now()
    with transaction() as session:
        return describe_one(session, undo(session, subscription_id, body.planned, now=now), now)


@blueprint.post("/<subscription_id>/change-plan")
@endpoint("write", body=ChangePlanIn, answer=SubscriptionOut)
def change_subscription_plan(subscription_id: str, body: ChangePlanIn) -> SubscriptionOut:
    """Move a subscription to another plan; its phases begin anew."""
    now = web_context().clock.now()
    with transaction() as session:
        return describe_one(session, change_plan(session, subscription_id, body.plan, at=body.at, now=now), now)


@blueprint.post("/<subscription_id>/migrate")
@endpoint("write", body=MigrateIn, answer=SubscriptionOut)
def migrate_subscription(subscription_id: str, body: MigrateIn) -> SubscriptionOut:
    """Move a subscription to its plan's version on sale; it goes on in the phase that it is in."""
    now = web_context().clock.now()
    with transaction() as session:
        return describe_one(session, migrate(session, subscription_id, at=body.at, now=now).subscription, now)


@blueprint.post("/<subscription_id>/quantity")
@endpoint("write", body=QuantityIn, answer=SubscriptionOut)
def set_subscription_quantity(subscription_id: str, body: QuantityIn) -> SubscriptionOut:
    """Change how many of a flat rate card (seats) a subscription has."""
    now = web_context().clock.now()
    with transaction() as session:
        quantity = Decimal(body.quantity)
        changed = set_quantity(session, subscription_id, body.rate_card, quantity, at=body.at, now=now)
        return describe_one(session, changed, now)


def _agree(session: Session, made: Subscription, place: int, agreed: AgreedIn, now: datetime) -> None:
    draft = OverrideDraft(agreed.act, agreed.rate_card, agreed.terms, agreed.phase)
    try:
        override_from_the_start(session, made, draft, now=now)
    except InvalidInput as error:
        fields = tuple(FieldError(f"/overrides/{place}{wrong.path}", wrong.message) for wrong in error.fields)
        raise InvalidInput(error.message, fields) from None


def _charge(period: BillingPeriod) -> ChargeOut:
    return ChargeOut(
        rate_card=period.rate_card.key,
        phase=period.phase_key,
        plan_version_id=period.plan_version_id,
        start=period.start,
        end=period.end,
        due_at=period.due_at,
        in_advance=period.is_in_advance,
        quantity=plain(period.quantity),
        fraction=str(period.fraction),
    )
