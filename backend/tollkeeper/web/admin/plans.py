"""Plans: list them, read a version's rate cards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tollkeeper.catalog.diff import diff_specs
from tollkeeper.catalog.plans import find_version_in, get_plan, list_plans
from tollkeeper.catalog.preview import PricedCard, preview_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.versions import get_version, list_versions, plan_spec_of
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import NotFound
from tollkeeper.rating.decimals import read_decimal
from tollkeeper.subscriptions.listing import count_by_version, list_subscriptions_of_plan
from tollkeeper.web.admin.plan_words import describe_card
from tollkeeper.web.context import snapshot, web_context

blueprint = Blueprint("plans", __name__, url_prefix="/plans")

PAGE_SIZE = 50
MOST_CONCERNED = 50


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
    if not versions:  # its only draft was thrown away
        return redirect(url_for("admin.plan_desk.show_draft", key=key))
    return show_version(key, (sold or versions[0]).version)


@blueprint.get("/<key>/versions/<int:number>")
def show_version(key: str, number: int) -> ResponseReturnValue:
    """Show one version of a plan in words: what it says, costs and changed, and whom it concerns."""
    now = web_context().clock.now()
    with snapshot() as session:
        plan, version, versions = get_plan(session, key), get_version(session, key, number), list_versions(session, key)
        before = next((one for one in versions if one.version < number), None)
        counts = count_by_version(session, key, now=now)
        concerned = list_subscriptions_of_plan(session, key, version=number, now=now, limit=MOST_CONCERNED)
        customers = {one.id: session.get_one(Customer, one.customer_id) for one in concerned}
    full = plan_spec_of(version)
    currency = request.args.get("currency", full.currency)
    if currency not in full.currencies:
        raise NotFound(f"the plan {key!r} has no prices in {currency!r}")
    spec = full.in_currency(currency)
    phases = [(phase, [describe_card(card, currency) for card in phase.rate_cards]) for phase in spec.phases]
    return render_template(
        "admin/plan.html",
        plan=plan,
        version=version,
        versions=versions,
        spec=spec,
        currencies=full.currencies,
        phases=phases,
        changes=[] if before is None else diff_specs(plan_spec_of(before), full),
        before=before,
        counts=counts,
        concerned=concerned,
        customers=customers,
        tried=_try_prices(spec),
    )


@dataclass(frozen=True, slots=True)
class Tried:
    """Usage by feature as it was typed, and what it would cost; `problem` says what is wrong with it."""

    quantities: Mapping[str, str]
    cards: Sequence[PricedCard] = ()
    total_minor: int = 0
    problem: str | None = None


def _try_prices(spec: PlanSpec) -> Tried:
    """Price what the address says, like `?use.calls=1500`, in the last phase."""
    features = dict.fromkeys(card.feature for card in spec.phases[-1].rate_cards if card.feature and card.is_metered)
    typed = {feature: request.args.get(f"use.{feature}", "").strip() for feature in features}
    if not any(typed.values()):
        return Tried(typed)
    try:
        quantities = {feature: read_decimal(text) for feature, text in typed.items() if text}
    except ValueError as error:
        return Tried(typed, problem=str(error))
    cards = preview_plan(spec, quantities)
    return Tried(typed, cards, sum(card.rated.total_minor for card in cards))
