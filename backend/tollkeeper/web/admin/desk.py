"""The desk that plans and add-ons share: check, save, publish and discard a draft; archive the whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel
from sqlalchemy.orm import Session

from tollkeeper.catalog.add_on_spec import AddOnSpec
from tollkeeper.catalog.draft import create_plan_draft, discard_draft
from tollkeeper.catalog.plans import archive_plan, find_plan, find_version_in, get_plan
from tollkeeper.catalog.publish import check_publishable, publish_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import PlanKind
from tollkeeper.catalog.words import Key
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.rating.reading import read_document
from tollkeeper.web.admin.forms import Form, read_json
from tollkeeper.web.context import snapshot, transaction, web_context

SAVING = ("save", "publish")


class CatalogKey(BaseModel):
    """The key of what is new."""

    key: Key


@dataclass(frozen=True, slots=True)
class Desk:
    """Which kind is written; `pages` and `acts` are the blueprints that show it and that change it."""

    kind: PlanKind
    spec: type[PlanSpec | AddOnSpec]
    word: str
    heading: str
    published: str
    example: Mapping[str, Any]
    pages: str
    acts: str


def show_new(desk: Desk) -> ResponseReturnValue:
    """Offer an example to write a new one from."""
    return _page(desk, "", Form(texts={"spec": json.dumps(desk.example, indent=2)}))


def show_draft(desk: Desk, key: str) -> ResponseReturnValue:
    """Show the draft, or the version on sale to write a draft from."""
    with snapshot() as session:
        plan = get_plan(session, key, kind=desk.kind)
        version = find_version_in(session, plan, "draft") or find_version_in(session, plan, "published")
    text = json.dumps(version.spec if version else desk.example, indent=2, ensure_ascii=False)
    return _page(desk, key, Form(texts={"spec": text}))


def write_draft(desk: Desk) -> ResponseReturnValue:
    """Check the content, and then nothing more, or save it, or save and publish it: as the button says."""
    form = Form.of(request.form)
    act = form.text("act")
    try:
        if act in SAVING:
            _save(desk, form, is_published=act == "publish")
        else:
            with snapshot() as session:
                _check(session, desk, form)
    except (InvalidInput, Conflict) as error:
        return _page(desk, form.text("from"), form, error), 422
    if act not in SAVING:
        flash("Nothing is wrong; nothing is saved.")
        return _page(desk, form.text("from"), form)
    flash(desk.published if act == "publish" else "Saved.")
    return redirect(url_for(f"{desk.pages}.show", key=form.text("key")))


def discard(desk: Desk, key: str) -> ResponseReturnValue:
    """Throw the draft away."""
    with transaction() as session:
        draft = find_version_in(session, get_plan(session, key, kind=desk.kind), "draft")
        if draft is None:
            raise NotFound(f"the {desk.word} {key!r} has no draft")
        discard_draft(session, key, draft.version, kind=desk.kind)
        is_left = draft.version > 1
    flash("The draft is gone.")
    return redirect(url_for(f"{desk.pages}.show", key=key) if is_left else url_for(f"{desk.pages}.show_list"))


def archive(desk: Desk, key: str) -> ResponseReturnValue:
    """Sell it no more; where it is held it goes on as it is."""
    with transaction() as session:
        plan = archive_plan(session, key, now=web_context().clock.now(), kind=desk.kind)
    flash(f"{plan.name} is archived: nobody new gets it, and where it is held it goes on.")
    return redirect(url_for(f"{desk.pages}.show_list"))


def _save(desk: Desk, form: Form, *, is_published: bool) -> None:
    key, now = form.text("key"), web_context().clock.now()
    with transaction() as session:
        create_plan_draft(session, key, _check(session, desk, form), now=now)
        if is_published:
            publish_plan(session, key, now=now, kind=desk.kind)


def _check(session: Session, desk: Desk, form: Form) -> PlanSpec | AddOnSpec:
    read_document(CatalogKey, {"key": form.text("key")}, what="key")
    taken = None if form.text("from") else find_plan(session, form.text("key"), kind=desk.kind)
    if taken is not None:
        raise InvalidInput.of("/key", f"is that of {taken.name}; write its next version on its page, or take another")
    spec = _read(desk, form)
    check_publishable(session, spec)
    return spec


def _read(desk: Desk, form: Form) -> PlanSpec | AddOnSpec:
    return read_document(desk.spec, read_json(form, "spec"), what=desk.word)


def _page(desk: Desk, key: str, form: Form, error: InvalidInput | Conflict | None = None) -> str:
    fields = error.fields if isinstance(error, InvalidInput) else ()
    message = error.message if error is not None and not fields else None
    form = form if error is None else form.with_errors(error)
    return render_template("admin/draft.html", desk=desk, key=key, form=form, wrong=fields, message=message)
