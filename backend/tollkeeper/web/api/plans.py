"""Plans over the API: drafts, versions, previews."""

from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from tollkeeper.catalog.diff import diff_specs
from tollkeeper.catalog.draft import create_plan_draft, discard_draft, edit_version
from tollkeeper.catalog.plans import archive_plan, find_version_in, get_plan, get_published_version, list_plans
from tollkeeper.catalog.preview import preview_plan
from tollkeeper.catalog.publish import check_publishable, publish_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import Plan, PlanVersion
from tollkeeper.catalog.versions import MOST_VERSIONS, get_version, list_versions, plan_spec_of
from tollkeeper.catalog.words import Key
from tollkeeper.errors import InvalidInput
from tollkeeper.money import format_minor
from tollkeeper.rating.decimals import AnyDecimal
from tollkeeper.rating.reading import read_document
from tollkeeper.rating.statement import statement_of
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.api.rating import PricePreviewOut
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_plans", __name__, url_prefix="/api/v1")


VersionNumber = Annotated[int, Field(ge=1, le=MOST_VERSIONS)]


class PlanOut(BaseModel):
    """A plan; `published_version` is what new subscriptions get, `draft_version` what is being written."""

    id: str
    key: str
    name: str
    currency: str
    published_version: int | None
    draft_version: int | None
    created_at: datetime
    archived_at: datetime | None


class PlanVersionOut(BaseModel):
    """One version of a plan with its content."""

    id: str
    plan: str
    version: int
    status: str
    spec: PlanSpec
    created_at: datetime
    published_at: datetime | None
    archived_at: datetime | None


class VerdictOut(BaseModel):
    """The plan can be published."""

    can_be_published: bool


class DiffQuery(BaseModel):
    """Which two versions to compare."""

    model_config = ConfigDict(extra="forbid")

    before: VersionNumber
    after: VersionNumber


class ChangeOut(BaseModel):
    """One difference; phases and rate cards stand in the path by key. Null: nothing stood there."""

    path: str
    before: Any
    after: Any


class DiffOut(BaseModel):
    """All differences."""

    changes: list[ChangeOut]


class PlanPreviewIn(BaseModel):
    """Usage of a full period, by the key of the feature; what is not named is zero."""

    model_config = ConfigDict(extra="forbid")

    quantities: Annotated[dict[str, AnyDecimal], Field(examples=[{"requests": "1500"}])] = Field(default_factory=dict)
    event_counts: dict[str, Annotated[int, Field(ge=0, le=10**18)]] = Field(default_factory=dict)
    phase: Annotated[Key | None, Field(description="Key of the phase; the last one by default.")] = None
    version: Annotated[VersionNumber | None, Field(description="Its number; the version on sale by default.")] = None


class PricedCardOut(PricePreviewOut):
    """What one rate card charges for one of its billing periods."""

    key: str
    feature: str | None
    billing_cadence: str


class PlanPreviewOut(BaseModel):
    """What the usage would cost, by rate card."""

    currency: str
    rate_cards: list[PricedCardOut]
    total: str


@blueprint.get("/plans")
@endpoint("read", query=PageQuery, answer=Page[PlanOut])
def list_all_plans(query: PageQuery) -> Page[PlanOut]:
    """List plans, oldest first, the archived ones too."""
    with snapshot() as session:
        rows = list_plans(session, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, lambda plan: describe_plan(session, plan), lambda plan: plan.id)


@blueprint.post("/plans/validate")
@endpoint("read", body=PlanSpec, answer=VerdictOut)
def validate_plan(body: PlanSpec) -> VerdictOut:
    """Check a plan's content, alone and against the catalog, and store nothing: 422 names every wrong field."""
    with snapshot() as session:
        check_publishable(session, body)
    return VerdictOut(can_be_published=True)


@blueprint.get("/plans/<key>")
@endpoint("read", answer=PlanOut)
def show_plan(key: str) -> PlanOut:
    """Show one plan."""
    with snapshot() as session:
        return describe_plan(session, get_plan(session, key))


@blueprint.put("/plans/<key>/draft")
@endpoint("write", body=PlanSpec, answer=PlanVersionOut)
def write_draft(key: str, body: PlanSpec) -> PlanVersionOut:
    """Write the plan's draft; makes the plan if it is new, replaces a draft that is there."""
    read_document(PlanKey, {"key": key}, what="address")
    with transaction() as session:
        return _describe_version(key, create_plan_draft(session, key, body, now=web_context().clock.now()))


@blueprint.post("/plans/<key>/publish")
@endpoint("write", answer=PlanVersionOut)
def publish_draft(key: str) -> PlanVersionOut:
    """Publish the draft: new subscriptions get it from now on, and it never changes again."""
    with transaction() as session:
        return _describe_version(key, publish_plan(session, key, now=web_context().clock.now()))


@blueprint.post("/plans/<key>/archive")
@endpoint("write", answer=PlanOut)
def archive_one_plan(key: str) -> PlanOut:
    """Sell a plan no more; its subscriptions go on as they are."""
    with transaction() as session:
        return describe_plan(session, archive_plan(session, key, now=web_context().clock.now()))


@blueprint.get("/plans/<key>/versions")
@endpoint("read", query=PageQuery, answer=Page[PlanVersionOut])
def list_plan_versions(key: str, query: PageQuery) -> Page[PlanVersionOut]:
    """List the versions of a plan, newest first."""
    with snapshot() as session:
        rows = list_versions(session, key, before=number_after(query.after()), limit=query.limit + 1)
        return page_of(rows, query.limit, lambda row: _describe_version(key, row), lambda row: str(row.version))


@blueprint.get("/plans/<key>/versions/<int:number>")
@endpoint("read", answer=PlanVersionOut)
def show_version(key: str, number: int) -> PlanVersionOut:
    """Show one version of a plan with its content."""
    with snapshot() as session:
        return _describe_version(key, get_version(session, key, number))


@blueprint.put("/plans/<key>/versions/<int:number>")
@endpoint("write", body=PlanSpec, answer=PlanVersionOut)
def edit_one_version(key: str, number: int, body: PlanSpec) -> PlanVersionOut:
    """Replace the content of the draft by its number; 409 for a version that was published."""
    with transaction() as session:
        return _describe_version(key, edit_version(session, key, number, body, now=web_context().clock.now()))


@blueprint.delete("/plans/<key>/versions/<int:number>")
@endpoint("write")
def discard_version(key: str, number: int) -> None:
    """Discard the draft; 409 for a version that was published."""
    with transaction() as session:
        discard_draft(session, key, number)


@blueprint.get("/plans/<key>/diff")
@endpoint("read", query=DiffQuery, answer=DiffOut)
def diff_versions(key: str, query: DiffQuery) -> DiffOut:
    """Say what differs between two versions of a plan."""
    with snapshot() as session:
        before, after = (plan_spec_of(get_version(session, key, number)) for number in (query.before, query.after))
    changes = diff_specs(before, after)
    return DiffOut(changes=[ChangeOut(path=one.path, before=one.before, after=one.after) for one in changes])


@blueprint.post("/plans/<key>/preview")
@endpoint("read", body=PlanPreviewIn, answer=PlanPreviewOut)
def preview_one_plan(key: str, body: PlanPreviewIn) -> PlanPreviewOut:
    """Say what usage would cost on a plan in a full period of each rate card."""
    with snapshot() as session:
        found = get_published_version(session, key) if body.version is None else get_version(session, key, body.version)
        spec = plan_spec_of(found)
    cards = preview_plan(spec, body.quantities, phase_key=body.phase, event_counts=body.event_counts)
    return PlanPreviewOut.model_validate(
        {
            "currency": spec.currency,
            "rate_cards": [
                {
                    "key": card.key,
                    "feature": card.feature,
                    "billing_cadence": card.billing_cadence,
                    **statement_of(card.rated, spec.currency),
                }
                for card in cards
            ],
            "total": format_minor(sum(card.rated.total_minor for card in cards), spec.currency),
        }
    )


class PlanKey(BaseModel):
    """A plan's key as it stands in an address."""

    key: Key


def number_after(after: str | None) -> int | None:
    """Read the cursor of a list of versions; raises InvalidInput."""
    if after is None:
        return None
    if not after.isdecimal() or int(after) > MOST_VERSIONS:
        raise InvalidInput.of("/cursor", "is no cursor of this list")
    return int(after)


def describe_plan(session: Session, plan: Plan) -> PlanOut:
    """Return what the API says of a plan or an add-on."""
    published, draft = (find_version_in(session, plan, status) for status in ("published", "draft"))
    return PlanOut(
        id=plan.id,
        key=plan.key,
        name=plan.name,
        currency=plan.currency,
        published_version=published.version if published else None,
        draft_version=draft.version if draft else None,
        created_at=plan.created_at,
        archived_at=plan.archived_at,
    )


def _describe_version(key: str, version: PlanVersion) -> PlanVersionOut:
    return PlanVersionOut(
        id=version.id,
        plan=key,
        version=version.version,
        status=version.status,
        spec=plan_spec_of(version),
        created_at=version.created_at,
        published_at=version.published_at,
        archived_at=version.archived_at,
    )
