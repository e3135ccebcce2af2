"""A customer's subscriptions: what they are now, start one, end one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import get_plan
from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.subscriptions.cancel import cancel
from tollkeeper.subscriptions.listing import list_subscriptions
from tollkeeper.subscriptions.state import SubscriptionState, state_at
from tollkeeper.subscriptions.subscribe import subscribe
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.web.admin.forms import Form, read_instant
from tollkeeper.web.context import transaction, web_context

blueprint = Blueprint("subscriptions", __name__, url_prefix="/customers/<key>/subscriptions")


@dataclass(frozen=True, slots=True)
class DescribedSubscription:
    """A subscription with the name of its plan and what it is now."""

    subscription: Subscription
    plan_name: str
    state: SubscriptionState


def described_subscriptions(session: Session, customer_id: str, *, now: datetime) -> list[DescribedSubscription]:
    """Return a customer's own subscriptions, those that have not ended first."""
    rows = [
        DescribedSubscription(row, get_plan(session, row.plan_key).name, state_at(row, now))
        for row in list_subscriptions(session, customer_id=customer_id)
    ]
    return sorted(rows, key=lambda row: row.state is SubscriptionState.ENDED)


@blueprint.post("")
def start(key: str) -> ResponseReturnValue:
    """Put the customer on a plan, from now or from the date that was named."""
    form = Form.of(request.form)
    try:
        with transaction() as session:
            now = web_context().clock.now()
            start_at = read_instant(form, "start") or now
            subscribe(session, key, form.text("plan"), start=start_at, now=now)
            plan_name = get_plan(session, form.text("plan")).name
    except (InvalidInput, Conflict, NotFound) as error:
        flash(f"Not subscribed: {error.message}", "bad")
    else:
        flash(f"Subscribed to {plan_name}.")
    return redirect(url_for("admin.customers.show", key=key, _anchor="subscriptions"))


@blueprint.post("/<subscription_id>/cancel")
def end(key: str, subscription_id: str) -> ResponseReturnValue:
    """End a subscription when its period ends, or now."""
    at: Literal["now", "period_end"] = "now" if request.form.get("at") == "now" else "period_end"
    with transaction() as session:
        get_customer(session, key)
        subscription = cancel(session, subscription_id, at=at, now=web_context().clock.now())
        plan_name = get_plan(session, subscription.plan_key).name
    flash(f"{plan_name} ends {'now' if at == 'now' else 'with its period'}.")
    return redirect(url_for("admin.customers.show", key=key, _anchor="subscriptions"))
