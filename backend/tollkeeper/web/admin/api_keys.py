"""The page of API keys: a new key is shown once, any key can be revoked."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tollkeeper.access.keys import Scope, create_api_key, list_api_keys, revoke_api_key
from tollkeeper.errors import InvalidInput
from tollkeeper.web.admin.forms import Form
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_keys", __name__, url_prefix="/api-keys")

PAGE_SIZE = 100
SCOPES = {
    Scope.INGEST: "send usage events (the gateway's shipper)",
    Scope.GATEWAY: "read verdicts, send heartbeats (the gateway's plugin)",
    Scope.READ: "read everything over the API",
    Scope.WRITE: "change customers, plans, subscriptions and invoices",
    Scope.ADMIN: "everything, API keys too",
}


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List keys and offer the form for a new one."""
    return _page(Form())


@blueprint.post("")
def create() -> ResponseReturnValue:
    """Make a key and show its token, this once: it is in this answer and in no cookie or log."""
    form = Form.of(request.form, lists={"scopes"})
    try:
        with transaction() as session:
            created = create_api_key(session, form.text("label"), form.choices("scopes"), now=web_context().clock.now())
    except InvalidInput as error:
        return _page(form.with_errors(error)), 422
    return render_template("admin/api_key_created.html", key=created.key, token=created.token)


@blueprint.post("/<key_id>/revoke")
def revoke(key_id: str) -> ResponseReturnValue:
    """Revoke a key at once."""
    with transaction() as session:
        key = revoke_api_key(session, key_id, now=web_context().clock.now())
    flash(f"The key “{key.label}” is revoked.")
    return redirect(url_for("admin.api_keys.show_list"))


def _page(form: Form) -> str:
    with snapshot() as session:
        after = request.args.get("after")
        keys = list_api_keys(session, after=after, limit=PAGE_SIZE + 1)
    return render_template(
        "admin/api_keys.html",
        keys=keys[:PAGE_SIZE],
        next_after=keys[PAGE_SIZE - 1].id if len(keys) > PAGE_SIZE else None,
        scopes=SCOPES,
        form=form,
    )
