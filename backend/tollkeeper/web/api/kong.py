"""What Kong knows, over the API."""

from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from tollkeeper.kong.declarative import parse_kong_yml
from tollkeeper.kong.keep import list_consumers, list_routes, list_services
from tollkeeper.metering.discover import take_over_kong
from tollkeeper.web.api.conventions import describe, endpoint
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.auth import requires
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_kong", __name__, url_prefix="/api/v1")

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
MOST_YAML_BYTES = 8 << 20


class KongConsumerOut(BaseModel):
    """A consumer of Kong."""

    id: str
    username: str | None
    custom_id: str | None
    tags: list[str]


class KongServiceOut(BaseModel):
    """A service of Kong."""

    id: str
    name: str | None
    tags: list[str]


class KongRouteOut(BaseModel):
    """A route of Kong."""

    id: str
    name: str | None
    service_id: str | None
    paths: list[str]
    methods: list[str]
    tags: list[str]


class ImportedOut(BaseModel):
    """What was read of a configuration."""

    consumers: int
    services: int
    routes: int
    warnings: Annotated[list[str], Field(description="Entities that cannot be followed, with the fix.")]


@blueprint.post("/kong/import")
@requires("write")
@describe(body={"type": "string", "description": "A declarative kong.yml."}, body_types=YAML_TYPES, answer=ImportedOut)
def import_kong_yml() -> Response:
    """Take over the consumers, services and routes of a kong.yml; a repeat changes nothing.

    Entities without an id get the one that Kong makes of their name.
    """
    if request.mimetype not in YAML_TYPES:
        raise UnsupportedMediaType(f"Send the kong.yml as one of {', '.join(YAML_TYPES)}.")
    request.max_content_length = MOST_YAML_BYTES
    try:
        text = request.get_data(cache=False).decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The kong.yml is no UTF-8 text (byte {error.start}).") from None
    config = parse_kong_yml(text)
    with transaction() as session:
        found = take_over_kong(session, config, now=web_context().clock.now())
    answer = ImportedOut.model_validate(found, from_attributes=True)
    return Response(answer.model_dump_json(), mimetype="application/json")


@blueprint.get("/kong/consumers")
@endpoint("read", query=PageQuery, answer=Page[KongConsumerOut])
def list_kong_consumers(query: PageQuery) -> Page[KongConsumerOut]:
    """List Kong's consumers, as of the last import."""
    with snapshot() as session:
        rows = list_consumers(session, after=query.after(), limit=query.limit + 1)
        return page_of(
            rows, query.limit, lambda row: KongConsumerOut.model_validate(row, from_attributes=True), lambda row: row.id
        )


@blueprint.get("/kong/services")
@endpoint("read", query=PageQuery, answer=Page[KongServiceOut])
def list_kong_services(query: PageQuery) -> Page[KongServiceOut]:
    """List Kong's services, as of the last import."""
    with snapshot() as session:
        rows = list_services(session, after=query.after(), limit=query.limit + 1)
        return page_of(
            rows, query.limit, lambda row: KongServiceOut.model_validate(row, from_attributes=True), lambda row: row.id
        )


@blueprint.get("/kong/routes")
@endpoint("read", query=PageQuery, answer=Page[KongRouteOut])
def list_kong_routes(query: PageQuery) -> Page[KongRouteOut]:
    """List Kong's routes, as of the last import."""
    with snapshot() as session:
        rows = list_routes(session, after=query.after(), limit=query.limit + 1)
        return page_of(
            rows, query.limit, lambda row: KongRouteOut.model_validate(row, from_attributes=True), lambda row: row.id
        )
