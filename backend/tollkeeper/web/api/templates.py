"""Entitlement templates over the API."""

from datetime import datetime

from flask import Blueprint
from pydantic import BaseModel, ConfigDict

from tollkeeper.catalog.spec import Entitlement
from tollkeeper.catalog.tables import EntitlementTemplate
from tollkeeper.catalog.templates import content_of, delete_template, get_template, list_templates, put_template
from tollkeeper.catalog.words import Name
from tollkeeper.rating.reading import read_document
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.api.plans import PlanKey
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_templates", __name__, url_prefix="/api/v1/entitlement-templates")


class TemplateIn(BaseModel):
    """A name for people, and the entitlement."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    entitlement: Entitlement


class TemplateOut(BaseModel):
    """One template."""

    key: str
    name: str
    entitlement: Entitlement
    created_at: datetime


@blueprint.get("")
@endpoint("read", query=PageQuery, answer=Page[TemplateOut])
def list_all_templates(query: PageQuery) -> Page[TemplateOut]:
    """List entitlement templates, oldest first."""
    with snapshot() as session:
        rows = list_templates(session, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, _describe, lambda row: row.id)


@blueprint.get("/<key>")
@endpoint("read", answer=TemplateOut)
def show_template(key: str) -> TemplateOut:
    """Show one entitlement template."""
    with snapshot() as session:
        return _describe(get_template(session, key))


@blueprint.put("/<key>")
@endpoint("write", body=TemplateIn, answer=TemplateOut)
def write_template(key: str, body: TemplateIn) -> TemplateOut:
    """Make an entitlement template or change it; plans that were saved with it stay as they are."""
    read_document(PlanKey, {"key": key}, what="address")
    with transaction() as session:
        return _describe(put_template(session, key, body.name, body.entitlement, now=web_context().clock.now()))


@blueprint.delete("/<key>")
@endpoint("write")
def remove_template(key: str) -> None:
    """Forget an entitlement template; plans that were saved with it stay as they are."""
    with transaction() as session:
        delete_template(session, key)


def _describe(row: EntitlementTemplate) -> TemplateOut:
    return TemplateOut(key=row.key, name=row.name, entitlement=content_of(row), created_at=row.created_at)
