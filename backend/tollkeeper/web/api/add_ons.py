"""Add-ons over the API: drafts and versions, like those of plans."""

from datetime import datetime

from flask import Blueprint
from pydantic import BaseModel

from tollkeeper.catalog.add_on_spec import AddOnSpec
from tollkeeper.catalog.diff import diff_specs
from tollkeeper.catalog.draft import create_plan_draft, discard_draft
from tollkeeper.catalog.plans import archive_plan, get_plan, list_plans
from tollkeeper.catalog.publish import check_publishable, publish_plan
from tollkeeper.catalog.tables import PlanKind, PlanVersion
from tollkeeper.catalog.versions import get_version, list_versions, spec_of
from tollkeeper.rating.reading import read_document
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.api.plans import (
    ChangeOut,
    DiffOut,
    DiffQuery,
    PlanKey,
    PlanOut,
    VerdictOut,
    describe_plan,
    number_after,
)
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_add_ons", __name__, url_prefix="/api/v1/add-ons")
KIND = PlanKind.ADD_ON


class AddOnVersionOut(BaseModel):
    """One version of an add-on with its content."""

    id: str
    add_on: str
    version: int
    status: str
    spec: AddOnSpec
    created_at: datetime
    published_at: datetime | None
    archived_at: datetime | None


@blueprint.get("")
@endpoint("read", query=PageQuery, answer=Page[PlanOut])
def list_add_ons(query: PageQuery) -> Page[PlanOut]:
    """List add-ons, oldest first, the archived ones too."""
    with snapshot() as session:
        rows = list_plans(session, after=query.after(), limit=query.limit + 1, kind=KIND)
        return page_of(rows, query.limit, lambda row: describe_plan(session, row), lambda row: row.id)


@blueprint.post("/validate")
@endpoint("read", body=AddOnSpec, answer=VerdictOut)
def validate_add_on(body: AddOnSpec) -> VerdictOut:
    """Check an add-on's content, alone and against the catalog, and store nothing: 422 names every wrong field."""
    with snapshot() as session:
        check_publishable(session, body)
    return VerdictOut(can_be_published=True)


@blueprint.get("/<key>")
@endpoint("read", answer=PlanOut)
def show_add_on(key: str) -> PlanOut:
    """Show one add-on."""
    with snapshot() as session:
        return describe_plan(session, get_plan(session, key, kind=KIND))


@blueprint.put("/<key>/draft")
@endpoint("write", body=AddOnSpec, answer=AddOnVersionOut)
def write_add_on_draft(key: str, body: AddOnSpec) -> AddOnVersionOut:
    """Write the add-on's draft; makes the add-on if it is new, replaces a draft that is there."""
    read_document(PlanKey, {"key": key}, what="address")
    with transaction() as session:
        return _describe_version(key, create_plan_draft(session, key, body, now=web_context().clock.now()))


@blueprint.post("/<key>/publish")
@endpoint("write", answer=AddOnVersionOut)
def publish_add_on(key: str) -> AddOnVersionOut:
    """Publish the draft: it is attached from now on, and it never changes again."""
    with transaction() as session:
        return _describe_version(key, publish_plan(session, key, now=web_context().clock.now(), kind=KIND))


@blueprint.post("/<key>/archive")
@endpoint("write", answer=PlanOut)
def archive_add_on(key: str) -> PlanOut:
    """Attach an add-on no more; where it is attached it goes on as it is."""
    with transaction() as session:
        return describe_plan(session, archive_plan(session, key, now=web_context().clock.now(), kind=KIND))


@blueprint.get("/<key>/versions")
@endpoint("read", query=PageQuery, answer=Page[AddOnVersionOut])
def list_add_on_versions(key: str, query: PageQuery) -> Page[AddOnVersionOut]:
    """List the versions of an add-on, newest first."""
    with snapshot() as session:
        before = number_after(query.after())
        rows = list_versions(session, key, before=before, limit=query.limit + 1, kind=KIND)
        return page_of(rows, query.limit, lambda row: _describe_version(key, row), lambda row: str(row.version))


@blueprint.delete("/<key>/versions/<int:number>")
@endpoint("write")
def discard_add_on_draft(key: str, number: int) -> None:
    """Discard the draft; 409 for a version that was published."""
    with transaction() as session:
        discard_draft(session, key, number, kind=KIND)


@blueprint.get("/<key>/diff")
@endpoint("read", query=DiffQuery, answer=DiffOut)
def diff_add_on_versions(key: str, query: DiffQuery) -> DiffOut:
    """Say what differs between two versions of an add-on."""
    with snapshot() as session:
        before, after = (
            spec_of(get_version(session, key, number, kind=KIND)) for number in (query.before, query.after)
        )
    changes = diff_specs(before, after)
    return DiffOut(changes=[ChangeOut(path=one.path, before=one.before, after=one.after) for one in changes])


def _describe_version(key: str, version: PlanVersion) -> AddOnVersionOut:
    spec = spec_of(version)
    assert isinstance(spec, AddOnSpec)
    return AddOnVersionOut(
        id=version.id,
        add_on=key,
        version=version.version,
        status=version.status,
        spec=spec,
        created_at=version.created_at,
        published_at=version.published_at,
        archived_at=version.archived_at,
    )
