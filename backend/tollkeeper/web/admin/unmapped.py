"""Traffic that nobody pays for: map a consumer to a customer with one click."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tollkeeper.customers.customers import get_customer, list_customers
from tollkeeper.customers.map_consumer import map_consumer
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.usage.estimate_unmapped import estimate_unmapped, plans_on_sale
from tollkeeper.usage.unmapped import unmapped_usage
from tollkeeper.web.admin.forms import Form, read_instant
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("unmapped", __name__, url_prefix="/unmapped")

MOST_SUBJECTS = 100
MOST_CHOICES = 1000


@blueprint.get("")
def show() -> ResponseReturnValue:
    """List subjects without a customer, the busiest first, each with a form to map it and its worth on a plan."""
    with snapshot() as session:
        subjects = unmapped_usage(session, limit=MOST_SUBJECTS)
        customers = list_customers(session, limit=MOST_CHOICES)
        plans = plans_on_sale(session)
        plan = next((one for one in plans if one.key == request.args.get("plan")), plans[0] if plans else None)
        estimate = estimate_unmapped(session, subjects, plan) if plan else None
    return render_template(
        "admin/unmapped.html",
        subjects=subjects,
        customers=customers,
        most=MOST_SUBJECTS,
        plans=plans,
        plan=plan,
        estimate=estimate,
    )


@blueprint.post("")
def map_one() -> ResponseReturnValue:
    """Map a subject to a customer, from now on or since its first request.

    With htmx the answer replaces the row; without it the page is shown again.
    """
    now = web_context().clock.now()
    subject = request.form.get("subject", "")
    form = Form.of(request.form)
    try:
        with transaction() as session:
            customer = get_customer(session, form.text("customer"))
            map_consumer(session, customer.id, "subject", subject, since=read_instant(form, "since"), now=now)
    except (InvalidInput, Conflict, NotFound) as error:
        if request.headers.get("HX-Request"):
            return render_template("admin/unmapped_done.html", subject=subject, error=error.message)
        flash(f"Not mapped: {error.message}", "bad")
        return redirect(url_for("admin.unmapped.show"))
    if request.headers.get("HX-Request"):
        return render_template("admin/unmapped_done.html", subject=subject, customer=customer)
    flash(f"Usage of {subject} counts for {customer.name}.")
    return redirect(url_for("admin.unmapped.show"))
