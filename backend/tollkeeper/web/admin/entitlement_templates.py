"""Entitlement templates: list, make, change, delete."""

import json
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from tollkeeper.catalog.spec import Entitlement, MeteredEntitlement, StaticEntitlement
from tollkeeper.catalog.tables import EntitlementTemplate
from tollkeeper.catalog.templates import content_of, delete_template, get_template, list_templates, put_template
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.rating.decimals import plain
from tollkeeper.rating.reading import read_document
from tollkeeper.web.admin.desk import CatalogKey
from tollkeeper.web.admin.forms import Form, read_json, read_list
from tollkeeper.web.admin.plan_words import describe_entitlement
from tollkeeper.web.api.templates import TemplateIn
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("entitlement_templates", __name__, url_prefix="/entitlement-templates")

PAGE_SIZE = 50
TYPES = {
    "metered": "a limit on usage",
    "boolean": "the feature is on",
    "static": "it is on, with settings",
}
# The fields of the form are named by the paths of the API's.
IN_METERED = ("limit", "usage_period", "status")
LONGEST_STATUS = 3
USUAL = {
    "entitlement/type": "metered",
    "entitlement/usage_period": "P1M",
    "entitlement/thresholds": "80, 100",
    "entitlement/status": "429",
    "entitlement/config": "{}",
}


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List templates, oldest first, with what they allow."""
    with snapshot() as session:
        rows = list_templates(session, after=request.args.get("after"), limit=PAGE_SIZE + 1)
    shown = rows[:PAGE_SIZE]
    return render_template(
        "admin/entitlement_templates.html",
        templates=[(row, describe_entitlement(content_of(row))) for row in shown],
        next_after=shown[-1].id if len(rows) > PAGE_SIZE else None,
    )


@blueprint.get("/new")
def show_new() -> ResponseReturnValue:
    """Offer the form for a new template."""
    return _form_page(Form(texts=USUAL))


@blueprint.post("/new")
def create() -> ResponseReturnValue:
    """Make a template; the key must be new."""
    form = Form.of(request.form)
    try:
        with transaction() as session:
            key = read_document(CatalogKey, {"key": form.text("key")}, what="key").key
            _refuse_taken(session, key)
            _save(session, key, form)
    except (InvalidInput, Conflict) as error:
        return _form_page(form.with_errors(error)), 422
    flash(f"{form.text('name')} is made. Plans use it by its key.")
    return redirect(url_for("admin.entitlement_templates.show_list"))


@blueprint.get("/<key>")
def show(key: str) -> ResponseReturnValue:
    """Offer the form with what the template holds."""
    with snapshot() as session:
        template = get_template(session, key)
    texts = USUAL | {"name": template.name} | _texts_of(content_of(template))
    return _form_page(Form(texts=texts), template)


@blueprint.post("/<key>")
def change(key: str) -> ResponseReturnValue:
    """Change a template; plans that were saved with it stay as they are."""
    form = Form.of(request.form)
    try:
        with transaction() as session:
            get_template(session, key)
            _save(session, key, form)
    except (InvalidInput, Conflict) as error:
        with snapshot() as session:
            return _form_page(form.with_errors(error), get_template(session, key)), 422
    flash(f"{form.text('name')} is saved. Plans that have it stay as they are.")
    return redirect(url_for("admin.entitlement_templates.show_list"))


@blueprint.post("/<key>/delete")
def delete(key: str) -> ResponseReturnValue:
    """Forget a template; plans that were saved with it stay as they are."""
    with transaction() as session:
        delete_template(session, key)
    flash(f"{key} is deleted. Plans that have it stay as they are.")
    return redirect(url_for("admin.entitlement_templates.show_list"))


def _refuse_taken(session: Session, key: str) -> None:
    try:
        taken = get_template(session, key)
    except NotFound:
        return
    raise InvalidInput.of("/key", f"is that of {taken.name}; change it on its page, or take another key")


def _save(session: Session, key: str, form: Form) -> None:
    document = {"name": form.text("name"), "entitlement": _entitlement_in(form)}
    body = read_document(TemplateIn, document, what="template")
    put_template(session, key, body.name, body.entitlement, now=web_context().clock.now())


def _entitlement_in(form: Form) -> dict[str, Any]:
    kind = form.text("entitlement/type")
    if kind == "metered":
        filled = {name: text for name in IN_METERED if (text := form.text(f"entitlement/{name}"))}
        status = filled.get("status", "")
        return {
            **filled,
            "type": kind,
            "is_soft_limit": form.text("entitlement/is_soft_limit") == "yes",
            "thresholds": read_list(form, "entitlement/thresholds"),
            "status": int(status) if status.isdecimal() and len(status) <= LONGEST_STATUS else status,
        }
    if kind == "static":
        return {"type": kind, "config": read_json(form, "entitlement/config", usual="{}")}
    return {"type": kind}


def _texts_of(entitlement: Entitlement) -> dict[str, str]:
    texts: dict[str, str] = {"type": entitlement.type}
    if isinstance(entitlement, MeteredEntitlement):
        texts |= {
            "limit": plain(entitlement.limit),
            "usage_period": entitlement.usage_period,
            "is_soft_limit": "yes" if entitlement.is_soft_limit else "",
            "thresholds": ", ".join(plain(one) for one in entitlement.thresholds),
            "status": str(entitlement.status),
        }
    if isinstance(entitlement, StaticEntitlement):
        texts["config"] = json.dumps(entitlement.config, indent=2, ensure_ascii=False)
    return {f"entitlement/{name}": text for name, text in texts.items()}


def _form_page(form: Form, template: EntitlementTemplate | None = None) -> str:
    return render_template("admin/entitlement_template.html", form=form, template=template, types=TYPES)
