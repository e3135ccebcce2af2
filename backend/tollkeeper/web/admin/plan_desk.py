"""A plan's desk: write and publish its draft, try prices, see whom a version concerns, migrate them."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tollkeeper.catalog.plans import get_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import PlanKind
from tollkeeper.invoices.preview_migration import preview_migration
from tollkeeper.subscriptions.migrate import list_outdated, migrate_some
from tollkeeper.web.admin import desk
from tollkeeper.web.admin.desk import Desk
from tollkeeper.web.context import transaction, web_context

blueprint = Blueprint("plan_desk", __name__, url_prefix="/plans")

MOST_PREVIEWED = 50
EXAMPLE = {
    "name": "Pro",
    "currency": "EUR",
    "phases": [{"key": "standard", "rate_cards": [{"key": "fee", "price": {"type": "flat", "amount": "20.00"}}]}],
}


DESK = Desk(
    kind=PlanKind.PLAN,
    spec=PlanSpec,
    word="plan",
    heading="Plans",
    published="On sale now; subscriptions stay on their version until you move them.",
    example=EXAMPLE,
    pages="admin.plans",
    acts="admin.plan_desk",
)


@blueprint.get("/new")
def show_new() -> ResponseReturnValue:
    """Offer an example to write a new plan from."""
    return desk.show_new(DESK)


@blueprint.get("/<key>/draft")
def show_draft(key: str) -> ResponseReturnValue:
    """Show the draft, or the version on sale to write a draft from."""
    return desk.show_draft(DESK, key)


@blueprint.post("/draft")
def write_draft() -> ResponseReturnValue:
    """Check, save or publish a plan's draft."""
    return desk.write_draft(DESK)


@blueprint.post("/<key>/draft/discard")
def discard(key: str) -> ResponseReturnValue:
    """Throw a plan's draft away."""
    return desk.discard(DESK, key)


@blueprint.post("/<key>/archive")
def archive(key: str) -> ResponseReturnValue:
    """Sell a plan no more."""
    return desk.archive(DESK, key)


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
