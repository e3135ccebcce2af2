"""Write and remove the draft of a plan: the only version that can be edited."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import find_plan, find_version_in, get_plan
from tollkeeper.catalog.tables import Plan, PlanKind, PlanVersion
from tollkeeper.catalog.templates import fill_in
from tollkeeper.catalog.versions import Spec, get_version, kind_of
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.upsert import insert_into


def create_plan_draft(session: Session, key: str, spec: Spec, *, now: datetime) -> PlanVersion:
    """Write the plan's draft: make the plan if it is new, replace the content of a draft that is there.

    The currency of a plan is fixed by its first published version: raises InvalidInput for another one.
    """
    spec = fill_in(session, spec)
    plan = _plan_for(session, key, spec, now=now)
    draft = find_version_in(session, plan, "draft")
    if draft is None:
        newest = session.scalar(select(func.max(PlanVersion.version)).where(PlanVersion.plan_id == plan.id)) or 0
        draft = PlanVersion(
            id=new_id("pv"), plan_id=plan.id, version=newest + 1, status="draft", spec=stored(spec), created_at=now
        )
        session.add(draft)
    else:
        draft.spec = stored(spec)
    session.flush()
    return draft


def edit_version(session: Session, key: str, number: int, spec: Spec, *, now: datetime) -> PlanVersion:
    """Replace the content of a version by its number; raises Conflict unless it is the draft."""
    get_plan(session, key, is_locked=True, kind=kind_of(spec))
    _require_draft(get_version(session, key, number, kind=kind_of(spec)), key)
    return create_plan_draft(session, key, spec, now=now)


def discard_draft(session: Session, key: str, number: int, *, kind: PlanKind = PlanKind.PLAN) -> None:
    """Remove the draft; its number is used again. Raises Conflict if the version is no draft."""
    get_plan(session, key, is_locked=True, kind=kind)
    version = get_version(session, key, number, kind=kind)
    _require_draft(version, key)
    session.delete(version)
    session.flush()


def stored(spec: Spec) -> dict[str, object]:
    """Return the JSON that is kept: defaults are written out, so that a later default changes no old version."""
    return spec.model_dump(mode="json")


def _plan_for(session: Session, key: str, spec: Spec, *, now: datetime) -> Plan:
    row = {
        "id": new_id("plan"),
        "kind": kind_of(spec),
        "key": key,
        "name": spec.name,
        "currency": spec.currency,
        "created_at": now,
    }
    session.execute(insert_into(session, Plan).values(row).on_conflict_do_nothing(index_elements=["key"]))
    plan = find_plan(session, key, is_locked=True, kind=kind_of(spec))
    if plan is None:
        raise Conflict(f"{key!r} is the key of a plan or an add-on already; they share their keys")
    if plan.archived_at is not None:
        raise Conflict(f"the {plan.word} {key!r} is archived; give a new one another key")
    if spec.currency != plan.currency:
        if _was_published(session, plan):
            raise InvalidInput.of(
                "/currency",
                f"the {plan.word} {key!r} is in {plan.currency}; put {spec.currency} under /other_currencies",
            )
        plan.currency = spec.currency
    return plan


def _was_published(session: Session, plan: Plan) -> bool:
    query = select(PlanVersion.id).where(PlanVersion.plan_id == plan.id, PlanVersion.published_at.is_not(None))
    return session.scalar(query.limit(1)) is not None


def _require_draft(version: PlanVersion, key: str) -> None:
    if version.status != "draft":
        raise Conflict(
            f"version {version.version} of the plan {key!r} is {version.status} and never changes; write a draft",
            code="plan_version_is_final",
        )
