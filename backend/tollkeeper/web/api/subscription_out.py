"""A subscription as the API describes it."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from tollkeeper.catalog.spec import RateCard
from tollkeeper.catalog.tables import Plan, PlanVersion
from tollkeeper.customers.customers import get_customer
from tollkeeper.rating.decimals import plain
from tollkeeper.subscriptions.planned import planned_acts
from tollkeeper.subscriptions.state import state_of
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import FOR_EVER, Override, Segment, load_timeline


class PlannedOut(BaseModel):
    """An act that was decided and is still to come; all but a resumption can be undone by this word."""

    act: Annotated[str, Field(description="change_plan, cancel, pause, resume, quantity, add_on or override")]
    at: datetime
    detail: Annotated[str, Field(description="The plan and version, or the seats.")]


class AttachedOut(BaseModel):
    """An add-on of the subscription, past, present or to come."""

    add_on: str
    version: int
    quantity: str
    starts_at: datetime
    ends_at: datetime | None


class OverrideOut(BaseModel):
    """A rate card of a phase that is this subscription's own from an instant on, until the next one for it."""

    id: str
    plan: str
    phase: str
    rate_card: str
    act: Annotated[str, Field(description="set, add, drop or reset")]
    terms: Annotated[RateCard | None, Field(description="The whole rate card; null if it is dropped or reset.")]
    starts_at: datetime


class SubscriptionOut(BaseModel):
    """A subscription; `state` is scheduled, active, paused or ended, `plan_version` the one in force now."""

    id: str
    customer_id: str
    customer: str
    plan: str
    plan_version_id: str
    plan_version: Annotated[int | None, Field(description="Null before the start and after the end.")]
    phase: str | None
    state: str
    status: Annotated[str, Field(description="canceled once an end is set")]
    currency: str
    time_zone: str
    anchor: datetime
    started_at: datetime
    ends_at: datetime | None
    paused_until: Annotated[datetime | None, Field(description="Null if it is not paused, or until it is resumed.")]
    created_at: datetime
    canceled_at: datetime | None
    add_ons: list[AttachedOut]
    overrides: list[OverrideOut]
    planned: Annotated[list[PlannedOut], Field(description="What is still to come, in order.")]


def describe_one(session: Session, row: Subscription, now: datetime) -> SubscriptionOut:
    """Return what the API says of a subscription at an instant."""
    timeline = load_timeline(session, row)
    segment = timeline.segment_at(now)
    pause_now = timeline.pause_at(now)
    version = session.get_one(PlanVersion, segment.plan_version_id).version if segment else None
    return SubscriptionOut(
        id=row.id,
        customer_id=row.customer_id,
        customer=get_customer(session, row.customer_id).key,
        plan=row.plan_key,
        plan_version_id=row.plan_version_id,
        plan_version=version,
        phase=segment.phase.key if segment else None,
        state=state_of(timeline, now),
        status=row.status,
        currency=row.currency,
        time_zone=row.time_zone,
        anchor=row.anchor,
        started_at=row.started_at,
        ends_at=row.ends_at,
        paused_until=None if pause_now is None or pause_now.end == FOR_EVER else pause_now.end,
        created_at=row.created_at,
        canceled_at=row.canceled_at,
        add_ons=[_attached(session, one) for one in timeline.add_ons],
        overrides=[describe_override(session, one) for one in timeline.overrides],
        planned=[
            PlannedOut(act=act.kind, at=act.at, detail=act.detail) for act in planned_acts(session, timeline, now=now)
        ],
    )


def _attached(session: Session, segment: Segment) -> AttachedOut:
    return AttachedOut(
        add_on=session.get_one(Plan, segment.plan_id).key,
        version=session.get_one(PlanVersion, segment.plan_version_id).version,
        quantity=plain(segment.quantity),
        starts_at=segment.start,
        ends_at=segment.end,
    )


def describe_override(session: Session, one: Override) -> OverrideOut:
    """Return what the API says of a price override."""
    act = "reset" if one.is_reset else "drop" if one.rate_card is None else "add" if one.is_added else "set"
    return OverrideOut(
        id=one.id,
        plan=session.get_one(Plan, one.plan_id).key,
        phase=one.phase_key,
        rate_card=one.rate_card_key,
        act=act,
        terms=one.rate_card,
        starts_at=one.starts_at,
    )
