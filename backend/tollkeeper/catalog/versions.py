"""Read the versions of a plan."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.add_on_spec import AddOnSpec
from tollkeeper.catalog.plans import get_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import PlanKind, PlanVersion
from tollkeeper.errors import NotFound

MOST_VERSIONS = 1_000_000  # of a plan; also keeps numbers from outside within the column


Spec = PlanSpec | AddOnSpec


def spec_of(version: PlanVersion) -> Spec:
    """Return the content of a version of a plan or an add-on."""
    model = AddOnSpec if "instances" in version.spec else PlanSpec
    return model.model_validate(version.spec)


def kind_of(spec: Spec) -> PlanKind:
    """Return what a content is of."""
    return PlanKind.ADD_ON if isinstance(spec, AddOnSpec) else PlanKind.PLAN


def plan_spec_of(version: PlanVersion) -> PlanSpec:
    """Return the content of a plan's version."""
    spec = spec_of(version)
    assert isinstance(spec, PlanSpec), "the caller asked for a plan by its key"
    return spec


def get_version(session: Session, plan_key: str, number: int, *, kind: PlanKind = PlanKind.PLAN) -> PlanVersion:
    """Return one version of a plan by its number; raises NotFound."""
    plan = get_plan(session, plan_key, kind=kind)
    query = select(PlanVersion).where(PlanVersion.plan_id == plan.id, PlanVersion.version == number)
    version = session.scalar(query) if number <= MOST_VERSIONS else None
    if version is None:
        raise NotFound(f"the {plan.word} {plan_key!r} has no version {number}")
    return version


def list_versions(
    session: Session,
    plan_key: str,
    *,
    before: int | None = None,
    limit: int = 100,
    kind: PlanKind = PlanKind.PLAN,
) -> Sequence[PlanVersion]:
    """Return the versions of a plan, newest first, before the number of the last one seen."""
    plan = get_plan(session, plan_key, kind=kind)
    query = select(PlanVersion).where(PlanVersion.plan_id == plan.id).order_by(PlanVersion.version.desc()).limit(limit)
    return session.scalars(query if before is None else query.where(PlanVersion.version < before)).all()
