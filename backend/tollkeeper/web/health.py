"""Whether this process lives (/healthz) and whether it can serve (/readyz)."""

from flask import Blueprint, Response, jsonify
from sqlalchemy import text

from tollkeeper.web.context import snapshot

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    """Answer as long as the process serves; looks at nothing else, so that a database away restarts nobody."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
def ready() -> Response:
    """Answer 200 when the database answers, else 503."""
    with snapshot() as session:
        session.execute(text("SELECT 1"))
    return jsonify(status="ready")
