"""Plans: list them, read a version's rate cards."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from tollkeeper.catalog.plans import find_version_in, get_plan, list_plans
from tollkeeper.catalog.versions import get_version, list_versions, plan_spec_of
from tollkeeper.errors import NotFound
from tollkeeper.web.admin.plan_words import describe_card
from tollkeeper.web.context import snapshot

blueprint = Blueprint("plans", __name__, url_prefix="/plans")

PAGE_SIZE = 50


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List plans with the version that is sold."""
    with snapshot() as session:
        plans = list_plans(session, after=request.args.get("after"), limit=PAGE_SIZE + 1)
        sold = {plan.id: find_version_in(session, plan, "published") for plan in plans[:PAGE_SIZE]}
        drafts = {plan.id: find_version_in(session, plan, "draft") for plan in plans[:PAGE_SIZE]}
    return render_template(
        "admin/plans.html",
        plans=plans[:PAGE_SIZE],
        sold=sold,
        drafts=drafts,
        next_after=plans[PAGE_SIZE - 1].id if len(plans) > PAGE_SIZE else None,
    )


@blueprint.get("/<key>")
def show(key: str) -> ResponseReturnValue:
    """Show a plan at the version that is sold, or else its newest."""
    with snapshot() as session:
        plan = get_plan(session, key)
        versions = list_versions(session, key)
        sold = find_version_in(session, plan, "published")
    if not versions:
        raise NotFound(f"the plan {key!r} has no version")
    return show_version(key, (sold or versions[0]).version)


@blueprint.get("/<key>/versions/<int:number>")
def show_version(key: str, number: int) -> ResponseReturnValue:
    """Show one version of a plan in words."""
    with snapshot() as session:
        plan, version, versions = get_plan(session, key), get_version(session, key, number), list_versions(session, key)
    spec = plan_spec_of(version)
    phases = [(phase, [describe_card(card, spec.currency) for card in phase.rate_cards]) for phase in spec.phases]
    return render_template("admin/plan.html", plan=plan, version=version, versions=versions, spec=spec, phases=phases)
