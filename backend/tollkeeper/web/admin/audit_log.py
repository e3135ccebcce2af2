"""The page of the audit log: who changed what, newest first."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from tollkeeper.access.audit import list_acts
from tollkeeper.web.context import snapshot

blueprint = Blueprint("audit_log", __name__, url_prefix="/audit-log")

PAGE_SIZE = 100


@blueprint.get("")
def show() -> ResponseReturnValue:
    """List acts, of everybody or of one actor."""
    actor = request.args.get("actor") or None
    with snapshot() as session:
        acts = list_acts(session, before=request.args.get("after"), actor=actor, limit=PAGE_SIZE + 1)
    return render_template(
        "admin/audit_log.html",
        acts=acts[:PAGE_SIZE],
        actor=actor,
        next_after=acts[PAGE_SIZE - 1].id if len(acts) > PAGE_SIZE else None,
    )
