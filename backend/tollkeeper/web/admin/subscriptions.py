"""A customer's subscriptions: what they are now, start one, end one."""

from collections.abc import Callable, Sequence
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
from tollkeeper.subscriptions.changing import get_subscription
from tollkeeper.subscriptions.listing import list_subscriptions
from tollkeeper.subscriptions.pause import pause, resume
from tollkeeper.subscriptions.planned import PlannedAct, planned_acts
from tollkeeper.subscriptions.state import SubscriptionState, state_of
from tollkeeper.subscriptions.subscribe import subscribe
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import load_timelines
from tollkeeper.subscriptions.undo import UNDO, undo
from tollkeeper.web.admin.forms import Form, read_instant
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("subscriptions", __name__, url_prefix="/customers/<key>/subscriptions")


@dataclass(frozen=True, slots=True)
class DescribedSubscription:
    """A subscription with the name of its plan, what it is now, and what is still to come."""

    subscription: Subscription
    plan_name: str
    state: SubscriptionState
    planned: Sequence[PlannedAct]

    def can_undo(self, kind: str) -> bool:
        """Tell whether an act of this kind is still to come."""
        return any(act.kind == kind for act in self.planned)


def described_subscriptions(session: Session, customer_id: str, *, now: datetime) -> list[DescribedSubscription]:
    """Return a customer's own subscriptions, those that have not ended first."""
    rows = [
        DescribedSubscription(
            timeline.subscription,
            get_plan(session, timeline.subscription.plan_key).name,
            state_of(timeline, now),
            planned_acts(session, timeline, now=now),
        )
        for timeline in load_timelines(session, list_subscriptions(session, customer_id=customer_id))
    ]
    return sorted(rows, key=lambda row: row.state is SubscriptionState.ENDED)


@blueprint.before_request
def _stay_with_the_customer() -> None:
    """Refuse an act on another customer's subscription: the address of the page says whose it is."""
    named = request.view_args or {}
    if "subscription_id" in named:
        with snapshot() as session:
            customer = get_customer(session, named["key"])
            if get_subscription(session, named["subscription_id"]).customer_id != customer.id:
                raise NotFound(f"{customer.name} has no subscription {named['subscription_id']!r}")


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


@blueprint.post("/<subscription_id>/pause")
def hold(key: str, subscription_id: str) -> ResponseReturnValue:
    """Pause a subscription now, until it is resumed."""
    return _act(key, "Paused.", lambda session, now: pause(session, subscription_id, at="now", now=now))


@blueprint.post("/<subscription_id>/resume")
def go_on(key: str, subscription_id: str) -> ResponseReturnValue:
    """Resume a paused subscription now."""
    return _act(key, "Resumed.", lambda session, now: resume(session, subscription_id, now=now))


@blueprint.post("/<subscription_id>/undo")
def take_back(key: str, subscription_id: str) -> ResponseReturnValue:
    """Take back what is still to come."""
    planned = next((one for one in UNDO if one == request.form.get("planned")), None)
    if planned is None:
        raise NotFound("there is nothing of this kind to undo")
    return _act(key, "Taken back.", lambda session, now: undo(session, subscription_id, planned, now=now))


def _act(key: str, done: str, act: Callable[[Session, datetime], Subscription]) -> ResponseReturnValue:
    try:
        with transaction() as session:
            get_customer(session, key)
            act(session, web_context().clock.now())
    except (InvalidInput, Conflict) as error:
        flash(error.message, "bad")
    else:
        flash(done)
    return redirect(url_for("admin.customers.show", key=key, _anchor="subscriptions"))
