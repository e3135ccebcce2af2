"""Add-ons: list them, read a version's rate cards, write, publish and archive them."""

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tollkeeper.catalog.add_on_spec import AddOnSpec
from tollkeeper.catalog.diff import diff_specs
from tollkeeper.catalog.plans import find_version_in, get_plan, list_plans
from tollkeeper.catalog.tables import PlanKind, PlanVersion
from tollkeeper.catalog.versions import get_version, list_versions, spec_of
from tollkeeper.errors import NotFound
from tollkeeper.web.admin import desk
from tollkeeper.web.admin.desk import Desk
from tollkeeper.web.admin.plan_words import describe_card
from tollkeeper.web.context import snapshot

blueprint = Blueprint("add_ons", __name__, url_prefix="/add-ons")

PAGE_SIZE = 50
KIND = PlanKind.ADD_ON
DESK = Desk(
    kind=KIND,
    spec=AddOnSpec,
    word="add-on",
    heading="Add-ons",
    published="On sale now; where an earlier version is attached it stays as it is.",
    example={
        "name": "Support",
        "currency": "EUR",
        "instances": "single",
        "rate_cards": [{"key": "support", "price": {"type": "flat", "amount": "49.00"}}],
    },
    pages="admin.add_ons",
    acts="admin.add_ons",
)


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List add-ons with the version that is sold."""
    with snapshot() as session:
        rows = list_plans(session, after=request.args.get("after"), limit=PAGE_SIZE + 1, kind=KIND)
        shown = rows[:PAGE_SIZE]
        sold = {row.id: find_version_in(session, row, "published") for row in shown}
        drafts = {row.id: find_version_in(session, row, "draft") for row in shown}
    next_after = shown[-1].id if len(rows) > PAGE_SIZE else None
    return render_template("admin/add_ons.html", add_ons=shown, sold=sold, drafts=drafts, next_after=next_after)


@blueprint.get("/<key>")
def show(key: str) -> ResponseReturnValue:
    """Show an add-on at the version that is sold, or else its newest."""
    with snapshot() as session:
        sold = find_version_in(session, get_plan(session, key, kind=KIND), "published")
        versions = list_versions(session, key, kind=KIND)
    if not versions:  # its only draft was thrown away
        return redirect(url_for("admin.add_ons.show_draft", key=key))
    return show_version(key, (sold or versions[0]).version)


@blueprint.get("/<key>/versions/<int:number>")
def show_version(key: str, number: int) -> ResponseReturnValue:
    """Show one version of an add-on in words, and what changed since the one before."""
    with snapshot() as session:
        add_on, versions = get_plan(session, key, kind=KIND), list_versions(session, key, kind=KIND)
        version = get_version(session, key, number, kind=KIND)
    full = _spec(version)
    currency = request.args.get("currency", full.currency)
    if currency not in full.currencies:
        raise NotFound(f"the add-on {key!r} has no prices in {currency!r}")
    spec = full.in_currency(currency)
    before = next((one for one in versions if one.version < number), None)
    return render_template(
        "admin/add_on.html",
        add_on=add_on,
        version=version,
        versions=versions,
        spec=spec,
        currencies=full.currencies,
        cards=[describe_card(card, currency) for card in spec.rate_cards],
        before=before,
        changes=[] if before is None else diff_specs(_spec(before), full),
    )


@blueprint.get("/new")
def show_new() -> ResponseReturnValue:
    """Offer an example to write a new add-on from."""
    return desk.show_new(DESK)


@blueprint.get("/<key>/draft")
def show_draft(key: str) -> ResponseReturnValue:
    """Show the draft, or the version on sale to write a draft from."""
    return desk.show_draft(DESK, key)


@blueprint.post("/draft")
def write_draft() -> ResponseReturnValue:
    """Check, save or publish an add-on's draft."""
    return desk.write_draft(DESK)


@blueprint.post("/<key>/draft/discard")
def discard(key: str) -> ResponseReturnValue:
    """Throw an add-on's draft away."""
    return desk.discard(DESK, key)


@blueprint.post("/<key>/archive")
def archive(key: str) -> ResponseReturnValue:
    """Attach an add-on no more."""
    return desk.archive(DESK, key)


def _spec(version: PlanVersion) -> AddOnSpec:
    spec = spec_of(version)
    assert isinstance(spec, AddOnSpec)
    return spec
