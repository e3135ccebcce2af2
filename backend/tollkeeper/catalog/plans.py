"""Find plans and the version of each that is sold; archive plans."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import Plan, PlanKind, PlanVersion
from tollkeeper.errors import Conflict, NotFound


def find_plan(session: Session, key: str, *, is_locked: bool = False, kind: PlanKind = PlanKind.PLAN) -> Plan | None:
    """Find a plan, or an add-on if `kind` says so, by its key, an archived one too.

    `is_locked`: others who change its versions wait for the end of this transaction.
    """
    query = select(Plan).where(Plan.key == key, Plan.kind == kind)
    return session.scalar(query.with_for_update() if is_locked else query)


def get_plan(session: Session, key: str, *, is_locked: bool = False, kind: PlanKind = PlanKind.PLAN) -> Plan:
    """Return a plan by its key as `find_plan` does; raises NotFound."""
    plan = find_plan(session, key, is_locked=is_locked, kind=kind)
    if plan is None:
        raise NotFound(f"there is no {kind.replace('_', '-')} {key!r}")
    return plan


def list_plans(
    session: Session, *, after: str | None = None, limit: int = 100, kind: PlanKind = PlanKind.PLAN
) -> Sequence[Plan]:
    """Return plans, or add-ons, by age, after the id of the last one seen."""
    query = select(Plan).where(Plan.kind == kind).order_by(Plan.id).limit(limit)
    return session.scalars(query if after is None else query.where(Plan.id > after)).all()


def get_published_version(session: Session, plan_key: str, *, kind: PlanKind = PlanKind.PLAN) -> PlanVersion:
    """Return the version that new subscriptions get; raises NotFound for no such plan, Conflict if none is sold."""
    plan = get_plan(session, plan_key, kind=kind)
    version = find_version_in(session, plan, "published")
    if plan.archived_at is not None:
        raise Conflict(f"the {plan.word} {plan_key!r} is archived; nobody can subscribe to it")
    if version is None:
        raise Conflict(f"the {plan.word} {plan_key!r} has no published version; publish its draft")
    return version


def find_version_in(session: Session, plan: Plan, status: str) -> PlanVersion | None:
    """Find the plan's draft or published version; there is at most one of each."""
    return session.scalar(select(PlanVersion).where(PlanVersion.plan_id == plan.id, PlanVersion.status == status))


def archive_plan(session: Session, key: str, *, now: datetime, kind: PlanKind = PlanKind.PLAN) -> Plan:
    """Sell a plan no more; its subscriptions go on as they are. To archive it again changes nothing."""
    plan = get_plan(session, key, is_locked=True, kind=kind)
    if plan.archived_at is None:
        plan.archived_at = now
        published = find_version_in(session, plan, "published")
        if published is not None:
            published.status = "archived"
            published.archived_at = now
    return plan
