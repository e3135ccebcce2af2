"""A plan's desk: write and publish its draft, try prices, see whom a version concerns, migrate them."""

import json

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from tollkeeper.catalog.draft import create_plan_draft, discard_draft
from tollkeeper.catalog.plans import find_version_in, get_plan
from tollkeeper.catalog.publish import check_publishable, publish_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.words import Key
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.invoices.preview_migration import preview_migration
from tollkeeper.rating.reading import read_document
from tollkeeper.subscriptions.migrate import list_outdated, migrate_some
from tollkeeper.web.admin.forms import Form
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("plan_desk", __name__, url_prefix="/plans")

MOST_PREVIEWED = 50
EXAMPLE = {
    "name": "Pro",
    "currency": "EUR",
    "phases": [{"key": "standard", "rate_cards": [{"key": "fee", "price": {"type": "flat", "amount": "20.00"}}]}],
}


class PlanKey(BaseModel):
    """The key of a plan that is new."""

    key: Key


@blueprint.get("/new")
def show_new() -> ResponseReturnValue:
    """Offer an example to write a new plan from."""
    return _draft_page("", Form(texts={"spec": json.dumps(EXAMPLE, indent=2)}))


@blueprint.get("/<key>/draft")
def show_draft(key: str) -> ResponseReturnValue:
    """Show the draft, or the version on sale to write a draft from."""
    with snapshot() as session:
        plan = get_plan(session, key)
        version = find_version_in(session, plan, "draft") or find_version_in(session, plan, "published")
    text = json.dumps(version.spec if version else EXAMPLE, indent=2, ensure_ascii=False)
    return _draft_page(key, Form(texts={"spec": text}))


@blueprint.post("/draft")
def write_draft() -> ResponseReturnValue:
    """Check the content, and then nothing more, or save it, or save and publish it: as the button says."""
    form = Form.of(request.form)
    key, act = form.text("key"), form.text("act")
    now = web_context().clock.now()
    try:
        with transaction() as session:
            read_document(PlanKey, {"key": key}, what="key")
            spec = _read(form.text("spec"))
            check_publishable(session, spec)
            if act in ("save", "publish"):
                create_plan_draft(session, key, spec, now=now)
            if act == "publish":
                publish_plan(session, key, now=now)
    except (InvalidInput, Conflict) as error:
        return _draft_page(form.text("from"), form, error), 422
    if act not in ("save", "publish"):
        flash("Nothing is wrong; nothing is saved.")
        return _draft_page(form.text("from"), form)
    flash("On sale now; subscriptions stay on their version until you move them." if act == "publish" else "Saved.")
    return redirect(url_for("admin.plans.show", key=key))


@blueprint.post("/<key>/draft/discard")
def discard(key: str) -> ResponseReturnValue:
    """Throw the draft away."""
    with transaction() as session:
        draft = find_version_in(session, get_plan(session, key), "draft")
        if draft is None:
            raise NotFound(f"the plan {key!r} has no draft")
        discard_draft(session, key, draft.version)
        is_left = find_version_in(session, get_plan(session, key), "published") is not None
    flash("The draft is gone.")
    return redirect(url_for("admin.plans.show", key=key) if is_left else url_for("admin.plans.show_list"))


@blueprint.get("/<key>/migration")
def show_migration(key: str) -> ResponseReturnValue:
    """Say what moving the subscriptions to the version on sale would mean for each payer; nothing is done."""
    now = web_context().clock.now()
    at = "now" if request.args.get("at") == "now" else "period_end"
    with transaction() as session:
        plan = get_plan(session, key)
        rows = list_outdated(session, key, now=now, after=request.args.get("after"), limit=MOST_PREVIEWED + 1)
        ids = [row.id for row in rows]
        previews = [
            preview_migration(session, row, at="now" if at == "now" else "period_end", now=now)
            for row in rows[:MOST_PREVIEWED]
        ]
        name = plan.name
        session.rollback()
    next_after = ids[MOST_PREVIEWED - 1] if len(ids) > MOST_PREVIEWED else None
    return render_template("admin/migration.html", key=key, name=name, at=at, previews=previews, next_after=next_after)


@blueprint.post("/<key>/migration")
def migrate(key: str) -> ResponseReturnValue:
    """Move them, some at a time: as many as one press of the button can do; press again while some are left."""
    at = request.form.get("at")
    now = web_context().clock.now()
    with transaction() as session:
        page = migrate_some(session, key, at="now" if at == "now" else "period_end", now=now, limit=1000)
    words = f"{len(page.moved)} moved, {len(page.already)} were there already"
    flash(f"{words}, {len(page.refused)} could not be moved." if page.refused else f"{words}.")
    for subscription_id, reason in list(page.refused.items())[:10]:
        flash(f"{subscription_id}: {reason}", "bad")
    return redirect(url_for("admin.plans.show", key=key))


def _read(text: str) -> PlanSpec:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidInput.of("/spec", f"is no JSON: {error}") from None
    return read_document(PlanSpec, document, what="plan")


def _draft_page(key: str, form: Form, error: InvalidInput | Conflict | None = None) -> str:
    fields = error.fields if isinstance(error, InvalidInput) else ()
    message = error.message if error is not None and not fields else None
    form = form if error is None else form.with_errors(error)
    return render_template("admin/plan_draft.html", key=key, form=form, wrong=fields, message=message)
