"""Bring a plan to the content of a document: what a deployment runs again and again."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from tollkeeper.catalog.diff import Change, diff_specs
from tollkeeper.catalog.draft import create_plan_draft
from tollkeeper.catalog.plans import find_plan, find_version_in
from tollkeeper.catalog.publish import publish_plan
from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.catalog.templates import fill_in
from tollkeeper.catalog.versions import Spec, kind_of, spec_of
from tollkeeper.errors import Conflict
from tollkeeper.storage.locks import wait_for_turn


@dataclass(frozen=True, slots=True)
class Applied:
    """The version that is sold now, and how it differs from the one before (which is None for a new plan)."""

    version: PlanVersion
    before: PlanVersion | None
    changes: list[Change]

    @property
    def is_changed(self) -> bool:
        """Tell whether a new version was published."""
        return self.before is None or self.before.id != self.version.id


def apply_plan(session: Session, key: str, spec: Spec, *, now: datetime, replace_draft: bool = False) -> Applied:
    """Publish the content as the plan's next version; do nothing if it is what is sold already.

    Somebody else's draft is not overwritten unless `replace_draft` says so: raises Conflict.
    """
    spec = fill_in(session, spec)
    wait_for_turn(session, f"apply plan {key}")  # two that apply a new plan at once have no row to lock
    plan = find_plan(session, key, is_locked=True, kind=kind_of(spec))
    published = find_version_in(session, plan, "published") if plan else None
    if published is not None and spec_of(published) == spec:
        return Applied(published, published, [])
    draft = find_version_in(session, plan, "draft") if plan else None
    if draft is not None and spec_of(draft) != spec and not replace_draft:
        raise Conflict(
            f"the {kind_of(spec).replace('_', '-')} {key!r} has a draft (version {draft.version}) with other content;"
            " publish it, discard it, or say that it is to be replaced"
        )
    create_plan_draft(session, key, spec, now=now)
    version = publish_plan(session, key, now=now, kind=kind_of(spec))
    return Applied(version, published, diff_specs(spec_of(published), spec) if published else [])
