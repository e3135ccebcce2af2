"""API keys over the API: the worked example of web/api/conventions.py."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.access.keys import Scope, create_api_key, get_api_key, list_api_keys, revoke_api_key
from tollkeeper.access.tables import ApiKey
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_access", __name__, url_prefix="/api/v1")


class ApiKeyIn(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    label: Annotated[str, Field(min_length=1, max_length=100, description="Who uses the key.", examples=["node-7"])]
    scopes: Annotated[list[Scope], Field(min_length=1, description="What it may do; `admin` may do everything.")]


class ApiKeyOut(BaseModel):
    """A key without its secret."""

    id: str
    label: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: Annotated[datetime | None, Field(description="To about ten minutes.")]
    revoked_at: datetime | None


class CreatedApiKeyOut(ApiKeyOut):
    """A new key with its token, which is shown this once."""

    token: Annotated[str, Field(examples=["tk_0193a1b2c3d4..._9f86d081..."])]


@blueprint.get("/api-keys")
@endpoint("admin", query=PageQuery, answer=Page[ApiKeyOut])
def list_keys(query: PageQuery) -> Page[ApiKeyOut]:
    """List API keys, oldest first, the revoked ones too."""
    with snapshot() as session:
        rows = list_api_keys(session, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, _describe, lambda key: key.id)


@blueprint.post("/api-keys")
@endpoint("admin", body=ApiKeyIn, answer=CreatedApiKeyOut, status=201, answer_is_secret=True)
def create_key(body: ApiKeyIn) -> CreatedApiKeyOut:
    """Create an API key.

    The token is in this answer only; we keep its digest.
    """
    with transaction() as session:
        created = create_api_key(session, body.label, body.scopes, now=web_context().clock.now())
        return CreatedApiKeyOut(**_describe(created.key).model_dump(), token=created.token)


@blueprint.get("/api-keys/<key_id>")
@endpoint("admin", answer=ApiKeyOut)
def show_key(key_id: str) -> ApiKeyOut:
    """Show one API key, without its secret."""
    with snapshot() as session:
        return _describe(get_api_key(session, key_id))


@blueprint.post("/api-keys/<key_id>/revoke")
@endpoint("admin", answer=ApiKeyOut)
def revoke_key(key_id: str) -> ApiKeyOut:
    """Revoke an API key at once; to revoke it again changes nothing."""
    with transaction() as session:
        return _describe(revoke_api_key(session, key_id, now=web_context().clock.now()))


def _describe(key: ApiKey) -> ApiKeyOut:
    return ApiKeyOut(
        id=key.id,
        label=key.label,
        scopes=[Scope(scope) for scope in key.scopes],
        created_at=key.created_at,
        last_used_at=key.last_used_at,
        revoked_at=key.revoked_at,
    )
