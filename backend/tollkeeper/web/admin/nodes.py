"""Gateway nodes: who was heard, when, and what waits in their spools."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from tollkeeper.entitlements.nodes import list_nodes
from tollkeeper.web.context import snapshot

blueprint = Blueprint("nodes", __name__, url_prefix="/nodes")


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List every node that has sent a heartbeat."""
    with snapshot() as session:
        nodes = list_nodes(session)
    return render_template("admin/nodes.html", nodes=nodes)
