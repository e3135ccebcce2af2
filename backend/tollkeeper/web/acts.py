"""What of a request goes into the audit log: each successful change by a person or by a key that may manage."""

from collections.abc import Iterable
from datetime import datetime

from flask import current_app, g, request
from sqlalchemy.orm import Session

from tollkeeper.access.audit import Actor, ActorKind, record_act
from tollkeeper.access.keys import Scope

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
TRAFFIC = {Scope.INGEST.value, Scope.GATEWAY.value}
"""What programs send all day: events and heartbeats are counted elsewhere and are nobody's decision."""
NOT_A_FIELD = {"csrf_token"}


def record_this_request(session: Session, *, now: datetime) -> None:
    """Write down what this request changed, in the transaction that changed it."""
    if request.method in SAFE_METHODS or request.url_rule is None or g.get("is_repeat") or _is_traffic():
        return
    actor = _actor()
    if actor is not None:
        act = f"{request.method} {request.url_rule.rule}"
        record_act(session, actor, act, target=request.path, fields=_fields(), now=now)


def note_repeat() -> None:
    """Say that this request repeats one that was answered before: it changes nothing."""
    g.is_repeat = True


def _actor() -> Actor | None:
    if "api_key" in g:
        return Actor(ActorKind.API_KEY, g.api_key.id, g.api_key.label)
    if "admin" in g:
        return Actor(ActorKind.ADMIN, g.admin.id, g.admin.name)
    return None


def _is_traffic() -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    scopes = set(getattr(view, "required_scopes", ()))
    return bool(scopes) and scopes <= TRAFFIC


def _fields() -> Iterable[str]:
    if request.is_json:
        body = request.get_json(silent=True)
        return body if isinstance(body, dict) else ()
    return set(request.form) - NOT_A_FIELD
