"""The first page: what happened today."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

blueprint = Blueprint("today", __name__)


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """Show today's numbers."""
    return render_template("admin/today.html")
