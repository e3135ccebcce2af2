"""Features over the API; plans are in plans.py."""

from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.catalog.features import (
    FeatureDraft,
    archive_feature,
    create_feature,
    get_feature,
    list_features,
    rename_feature,
)
from tollkeeper.catalog.tables import Feature
from tollkeeper.catalog.words import Key, Name
from tollkeeper.metering.filters import check_filter
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_catalog", __name__, url_prefix="/api/v1")


class FeatureIn(BaseModel):
    """A feature to be created."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[Key, Field(examples=["flights_ok"])]
    name: Annotated[Name | None, Field(description="What people see; the key by default.")] = None
    meter: Annotated[Key | None, Field(description="Key of the meter; null for a mere switch.")] = None
    filter: Annotated[
        dict[str, Any],
        Field(description="Which of the meter's events count.", examples=[{"status": {"gte": "200", "lt": "300"}}]),
    ] = Field(default_factory=dict)


class FeatureName(BaseModel):
    """What of a feature can be changed."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class FeatureOut(BaseModel):
    """A feature; its meter and filter never change."""

    id: str
    key: str
    name: str
    meter: str | None
    filter: dict[str, Any]
    created_at: datetime
    archived_at: datetime | None


@blueprint.get("/features")
@endpoint("read", query=PageQuery, answer=Page[FeatureOut])
def list_all_features(query: PageQuery) -> Page[FeatureOut]:
    """List features, oldest first, the archived ones too."""
    with snapshot() as session:
        rows = list_features(session, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, _describe, lambda feature: feature.id)


@blueprint.post("/features")
@endpoint("write", body=FeatureIn, answer=FeatureOut, status=201)
def create_one_feature(body: FeatureIn) -> FeatureOut:
    """Create a feature; to create the same one again changes nothing."""
    check_filter(body.filter)
    draft = FeatureDraft(key=body.key, name=body.name or body.key, meter_key=body.meter, filter=body.filter)
    with transaction() as session:
        return _describe(create_feature(session, draft, now=web_context().clock.now()))


@blueprint.get("/features/<key>")
@endpoint("read", answer=FeatureOut)
def show_feature(key: str) -> FeatureOut:
    """Show one feature."""
    with snapshot() as session:
        return _describe(get_feature(session, key))


@blueprint.patch("/features/<key>")
@endpoint("write", body=FeatureName, answer=FeatureOut)
def rename_one_feature(key: str, body: FeatureName) -> FeatureOut:
    """Rename a feature."""
    with transaction() as session:
        return _describe(rename_feature(session, key, body.name))


@blueprint.post("/features/<key>/archive")
@endpoint("write", answer=FeatureOut)
def archive_one_feature(key: str) -> FeatureOut:
    """Archive a feature: new plan versions cannot use it, what is sold goes on."""
    with transaction() as session:
        return _describe(archive_feature(session, key, now=web_context().clock.now()))


def _describe(feature: Feature) -> FeatureOut:
    return FeatureOut(
        id=feature.id,
        key=feature.key,
        name=feature.name,
        meter=feature.meter_key,
        filter=feature.filter,
        created_at=feature.created_at,
        archived_at=feature.archived_at,
    )
