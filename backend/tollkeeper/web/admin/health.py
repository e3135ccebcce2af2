"""Settings and health: what this process runs with and whether what it needs is there. No secret is shown."""

from importlib.metadata import version

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from tollkeeper.payments.sync import count_syncs
from tollkeeper.web.context import snapshot, web_context

blueprint = Blueprint("health", __name__, url_prefix="/health")


@blueprint.get("")
def show() -> ResponseReturnValue:
    """Show settings, the database and the way to Stripe."""
    with snapshot() as session:
        dialect = session.connection().dialect
        syncs = count_syncs(session)
    number = ".".join(str(part) for part in dialect.server_version_info or ())
    return render_template(
        "admin/health.html",
        version=version("tollkeeper"),
        database=f"{'SQLite' if dialect.name == 'sqlite' else 'PostgreSQL'} {number}",
        syncs=syncs,
        settings=web_context().shown_settings,
    )
