"""Tax rates: list, make, end."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.rating.reading import read_document
from tollkeeper.taxes.rates import TaxRateDraft, create_rate, end_rate, list_rates
from tollkeeper.web.admin.forms import Form, read_instant
from tollkeeper.web.api.taxes import TaxRateIn
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("tax_rates", __name__, url_prefix="/tax-rates")

PAGE_SIZE = 50
TEXTS = ("name", "country", "percentage", "tax_code", "region")


@blueprint.get("")
def show_list() -> ResponseReturnValue:
    """List tax rates, oldest first, ended ones too."""
    with snapshot() as session:
        rows = list_rates(session, after=request.args.get("after"), limit=PAGE_SIZE + 1)
    shown = rows[:PAGE_SIZE]
    next_after = shown[-1].id if len(rows) > PAGE_SIZE else None
    return render_template("admin/tax_rates.html", rates=shown, next_after=next_after, now_is=web_context().clock.now())


@blueprint.get("/new")
def show_new() -> ResponseReturnValue:
    """Offer the form for a new rate."""
    return render_template("admin/tax_rate_form.html", form=Form())


@blueprint.post("/new")
def create() -> ResponseReturnValue:
    """Make a rate by the rules of the API."""
    form = Form.of(request.form)
    try:
        filled = {name: form.text(name) for name in TEXTS if form.text(name)}
        instants = {name: read_instant(form, name) for name in ("valid_from", "valid_to")}
        body = read_document(TaxRateIn, {**filled, **instants}, what="tax rate")
        with transaction() as session:
            rate = create_rate(session, TaxRateDraft(**body.model_dump()), now=web_context().clock.now())
    except (InvalidInput, Conflict) as error:
        return render_template("admin/tax_rate_form.html", form=form.with_errors(error)), 422
    flash(f"{rate.name} in {rate.country} is made. It is charged by legal entities that charge tax.")
    return redirect(url_for("admin.tax_rates.show_list"))


@blueprint.post("/<rate>/end")
def end(rate: str) -> ResponseReturnValue:
    """Let a rate hold no longer than now, or than until the date that was named."""
    form = Form.of(request.form)
    now = web_context().clock.now()
    try:
        with transaction() as session:
            ended = end_rate(session, rate, at=read_instant(form, "valid_to") or now, now=now)
    except (InvalidInput, Conflict) as error:
        flash(f"Nothing was changed: {error.message}", "bad")
    else:
        flash(f"{ended.name} in {ended.country} ends.")
    return redirect(url_for("admin.tax_rates.show_list"))
