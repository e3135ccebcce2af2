"""Coupons: list, make, read, archive."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tollkeeper.coupons.coupons import archive_coupon, create_coupon, get_coupon, list_coupons
from tollkeeper.coupons.tables import Duration
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.rating.reading import read_document
from tollkeeper.web.admin.forms import Form, read_instant, read_list
from tollkeeper.web.api.coupons import CouponIn, draft_of
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("coupons", __name__, url_prefix="/coupons")

PAGE_SIZE = 50
DURATIONS = {
    Duration.ONCE: "one invoice",
    Duration.REPEATING: "so many invoices",
    Duration.FOREVER: "every invoice",
}
TEXTS = ("code", "name", "percentage", "amount", "currency", "duration", "periods", "max_redemptions")


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List coupons, oldest first, archived ones too."""
    with snapshot() as session:
        rows = list_coupons(session, after=request.args.get("after"), limit=PAGE_SIZE + 1)
    shown = rows[:PAGE_SIZE]
    next_after = shown[-1].id if len(rows) > PAGE_SIZE else None
    return render_template("admin/coupons.html", coupons=shown, next_after=next_after, now_is=web_context().clock.now())


@blueprint.get("/new")
def show_new() -> ResponseReturnValue:
    """Offer the form for a new coupon."""
    return _form_page(Form())


@blueprint.post("/new")
def create() -> ResponseReturnValue:
    """Make a coupon by the rules of the API, and show it."""
    form = Form.of(request.form)
    try:
        with transaction() as session:
            body = read_document(CouponIn, _document(form), what="coupon")
            coupon = create_coupon(session, draft_of(body), now=web_context().clock.now())
    except (InvalidInput, Conflict) as error:
        return _form_page(form.with_errors(error)), 422
    flash(f"{coupon.code} is made. Redeem it for a customer on the customer’s page.")
    return redirect(url_for("admin.coupons.show", code=coupon.code))


@blueprint.get("/<code>")
def show(code: str) -> ResponseReturnValue:
    """Show a coupon and how often it was redeemed."""
    with snapshot() as session:
        coupon = get_coupon(session, code)
    return render_template("admin/coupon.html", coupon=coupon, now_is=web_context().clock.now())


@blueprint.post("/<code>/archive")
def archive(code: str) -> ResponseReturnValue:
    """Let nobody redeem a coupon any more."""
    with transaction() as session:
        coupon = archive_coupon(session, code, now=web_context().clock.now())
    flash(f"{coupon.code} is archived: nobody redeems it any more, who has it keeps it.")
    return redirect(url_for("admin.coupons.show_list"))


def _document(form: Form) -> dict[str, Any]:
    filled = {name: form.text(name) for name in TEXTS if form.text(name)}
    instants = {name: read_instant(form, name) for name in ("valid_from", "valid_to")}
    return {**filled, **instants, "features": read_list(form, "features")}


def _form_page(form: Form) -> str:
    return render_template("admin/coupon_form.html", form=form, durations=DURATIONS)
