"""The audit log over the API: read only, for administrators."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, Field

from tollkeeper.access.audit import ActorKind, list_acts
from tollkeeper.access.tables import AuditEntry
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.context import snapshot

blueprint = Blueprint("api_audit_log", __name__, url_prefix="/api/v1")


class AuditQuery(PageQuery):
    """Which acts."""

    actor: Annotated[str | None, Field(description="The id or the name of who acted.")] = None
    target: Annotated[str | None, Field(description="Exactly this target.", examples=["/api/v1/customers/acme"])] = None


class AuditEntryOut(BaseModel):
    """One change that somebody made."""

    id: str
    at: datetime
    actor_kind: Annotated[ActorKind, Field(description="A key of the API, a person at the pages, or a command.")]
    actor_id: str
    actor_name: Annotated[str, Field(description="As it was then: a key's label, a person's name.")]
    act: Annotated[str, Field(examples=["POST /api/v1/invoices/<number>/void", "tollkeeper plan publish"])]
    target: Annotated[str, Field(description="The path of the request, or the arguments of the command.")]
    fields: Annotated[list[str], Field(description="The names of what was given, not the values.")]


@blueprint.get("/audit-log")
@endpoint("admin", query=AuditQuery, answer=Page[AuditEntryOut])
def list_audit_log(query: AuditQuery) -> Page[AuditEntryOut]:
    """List who changed what, newest first.

    Every successful change by a key, an administrator or a command, written in the transaction of the change. Events,
    heartbeats and what the jobs do by themselves are not in it.
    """
    with snapshot() as session:
        rows = list_acts(session, before=query.after(), actor=query.actor, target=query.target, limit=query.limit + 1)
        return page_of(rows, query.limit, _describe, lambda entry: entry.id)


def _describe(entry: AuditEntry) -> AuditEntryOut:
    return AuditEntryOut.model_validate(entry, from_attributes=True)
