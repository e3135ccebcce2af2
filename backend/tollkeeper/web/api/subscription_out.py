"""A subscription as the API describes it."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.customers.customers import get_customer
from tollkeeper.subscriptions.planned import planned_acts
from tollkeeper.subscriptions.state import state_of
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import FOR_EVER, load_timeline


class PlannedOut(BaseModel):
    """An act that was decided and is still to come; all but a resumption can be undone by this word."""

    act: Annotated[str, Field(description="change_plan, cancel, pause, resume or quantity")]
    at: datetime
    detail: Annotated[str, Field(description="The plan and version, or the seats.")]


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
    time_zone: str
    anchor: datetime
    started_at: datetime
    ends_at: datetime | None
    paused_until: Annotated[datetime | None, Field(description="Null if it is not paused, or until it is resumed.")]
    created_at: datetime
    canceled_at: datetime | None
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
        time_zone=row.time_zone,
        anchor=row.anchor,
        started_at=row.started_at,
        ends_at=row.ends_at,
        paused_until=None if pause_now is None or pause_now.end == FOR_EVER else pause_now.end,
        created_at=row.created_at,
        canceled_at=row.canceled_at,
        planned=[
            PlannedOut(act=act.kind, at=act.at, detail=act.detail) for act in planned_acts(session, timeline, now=now)
        ],
    )
