"""One subscription: its plan over time, what is to come, its add-ons and its own prices, and the acts on each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import find_version_in, list_plans
from tollkeeper.catalog.tables import Plan, PlanKind, PlanVersion
from tollkeeper.catalog.versions import spec_of
from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.rating.decimals import read_decimal
from tollkeeper.rating.flat import FlatPrice
from tollkeeper.subscriptions.add_ons import AddOnDraft, attach, set_add_on_quantity
from tollkeeper.subscriptions.cancel import cancel
from tollkeeper.subscriptions.change_plan import change_plan
from tollkeeper.subscriptions.changing import When, get_subscription
from tollkeeper.subscriptions.held_cards import HeldCard, held_at
from tollkeeper.subscriptions.migrate import migrate
from tollkeeper.subscriptions.override import OverrideDraft, override
from tollkeeper.subscriptions.pause import pause, resume
from tollkeeper.subscriptions.planned import planned_acts
from tollkeeper.subscriptions.set_quantity import set_quantity
from tollkeeper.subscriptions.state import SubscriptionState, state_of
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import Segment, Timeline, load_timeline
from tollkeeper.web.admin.forms import Form, read_instant, read_json
from tollkeeper.web.admin.plan_options import sold_plans
from tollkeeper.web.admin.plan_words import CardWords, describe_card
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("subscription", __name__, url_prefix="/customers/<key>/subscriptions/<subscription_id>")

MOST_ADD_ONS = 200
ACTS = ("set", "add", "drop", "reset")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase of a plan version, or an add-on, and when it holds."""

    name: str
    key: str
    version: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class ShownCard:
    """A rate card that holds now, in words, and whether it is this subscription's own."""

    words: CardWords
    held: HeldCard


@blueprint.get("")
def show(key: str, subscription_id: str) -> ResponseReturnValue:
    """Show one subscription of a customer."""
    return _page(key, subscription_id, Form())


@blueprint.post("/<act>")
def act(key: str, subscription_id: str, act: str) -> ResponseReturnValue:
    """Do one of the acts on it; what is refused is said beside the field."""
    if act not in FORMS:
        raise NotFound(f"there is no act {act!r}")
    form = Form.of(request.form)
    try:
        with transaction() as session:
            _own(session, key, subscription_id)
            FORMS[act](session, form, subscription_id, web_context().clock.now())
    except (InvalidInput, Conflict, NotFound) as error:
        flash(f"Nothing was changed: {error.message}", "bad")
        return _page(key, subscription_id, form.with_errors(error), failed=act), 422
    flash("Done.")
    return redirect(url_for("admin.subscription.show", key=key, subscription_id=subscription_id))


def _own(session: Session, key: str, subscription_id: str) -> Subscription:
    subscription = get_subscription(session, subscription_id)
    if subscription.customer_id != get_customer(session, key).id:
        raise NotFound(f"{key!r} has no subscription {subscription_id!r}")
    return subscription


def _when(form: Form) -> When:
    """Return when an act takes effect: a date that was typed, or else what was chosen."""
    at = read_instant(form, "at")
    if at is not None:
        return at
    return "period_end" if form.text("when") == "period_end" else "now"


def _number(form: Form, name: str) -> Decimal:
    try:
        return read_decimal(form.text(name))
    except ValueError as error:
        raise InvalidInput.of(f"/{name}", str(error)) from None


def _change_plan(session: Session, form: Form, subscription_id: str, now: datetime) -> None:
    change_plan(session, subscription_id, form.text("plan"), at=_when(form), now=now)


def _migrate(session: Session, form: Form, subscription_id: str, now: datetime) -> None:
    migrate(session, subscription_id, at=_when(form), now=now)


def _set_quantity(session: Session, form: Form, subscription_id: str, now: datetime) -> None:
    quantity = _number(form, "quantity")
    set_quantity(session, subscription_id, form.text("rate_card"), quantity, at=_when(form), now=now)


def _pause(session: Session, form: Form, subscription_id: str, now: datetime) -> None:
    pause(session, subscription_id, at=_when(form), until=read_instant(form, "until"), now=now)


def _resume(session: Session, form: Form, subscription_id: str, now: datetime) -> None:  # noqa: ARG001  # one of FORMS
    resume(session, subscription_id, now=now)


def _cancel(session: Session, form: Form, subscription_id: str, now: datetime) -> None:
    is_credited = form.text("credit") != "no"
    cancel(session, subscription_id, at=_when(form), now=now, is_credited=is_credited)


def _attach(session: Session, form: Form, subscription_id: str, now: datetime) -> None:
    draft = AddOnDraft(form.text("add_on"), _number(form, "quantity"), read_instant(form, "until"))
    attach(session, subscription_id, draft, at=_when(form), now=now)


def _set_add_on(session: Session, form: Form, subscription_id: str, now: datetime) -> None:
    quantity = _number(form, "quantity")
    set_add_on_quantity(session, subscription_id, form.text("add_on"), quantity, at=_when(form), now=now)


def _override(session: Session, form: Form, subscription_id: str, now: datetime) -> None:
    act = next((one for one in ACTS if one == form.text("act")), None)
    terms = read_json(form, "terms", usual="{}", parse_float=str)
    if act is None or not isinstance(terms, dict):
        raise InvalidInput.of("/terms", "write an object, like the price of a rate card in a plan")
    draft = OverrideDraft(act, form.text("rate_card"), terms)  # type: ignore[arg-type]  # one of ACTS
    override(session, subscription_id, draft, at=_when(form), now=now)


FORMS: dict[str, Callable[[Session, Form, str, datetime], None]] = {
    "change-plan": _change_plan,
    "migrate": _migrate,
    "quantity": _set_quantity,
    "hold": _pause,
    "resume": _resume,
    "end": _cancel,
    "add-on": _attach,
    "add-on-quantity": _set_add_on,
    "own-price": _override,
}


def _page(key: str, subscription_id: str, form: Form, *, failed: str = "") -> str:
    """Render the page; `failed` names the act whose form is shown again, open, with what is wrong in it."""
    now = web_context().clock.now()
    with snapshot() as session:
        subscription = _own(session, key, subscription_id)
        timeline = load_timeline(session, subscription)
        state = state_of(timeline, now)
        return render_template(
            "admin/subscription.html",
            customer=get_customer(session, key),
            subscription=subscription,
            state=state,
            is_over=state is SubscriptionState.ENDED,
            plan=_stretch(session, one) if (one := timeline.segment_at(now)) else None,
            stretches=[_stretch(session, one) for one in timeline.segments],
            add_ons=[_stretch(session, one) for one in timeline.add_ons],
            planned=planned_acts(session, timeline, now=now),
            cards=_cards(timeline, now),
            overrides=timeline.overrides,
            plans=sold_plans(session, subscription.currency),
            add_ons_sold=_add_ons_sold(session, subscription.currency),
            seat_cards=_seat_cards(timeline, now),
            form=form,
            blank=Form(),
            failed=failed,
        )


def _stretch(session: Session, segment: Segment) -> Stretch:
    plan = session.get_one(Plan, segment.plan_id)
    version = session.get_one(PlanVersion, segment.plan_version_id)
    return Stretch(plan.name, plan.key, version.version, segment)


def _cards(timeline: Timeline, now: datetime) -> list[ShownCard]:
    currency = timeline.subscription.currency
    return [ShownCard(describe_card(one.card, currency), one) for one in held_at(timeline, now)]


def _seat_cards(timeline: Timeline, now: datetime) -> list[str]:
    held = (one for one in held_at(timeline, now) if not one.is_of_add_on)
    return [one.card.key for one in held if isinstance(one.card.price, FlatPrice)]


def _add_ons_sold(session: Session, currency: str) -> list[Plan]:
    found = []
    for plan in list_plans(session, limit=MOST_ADD_ONS, kind=PlanKind.ADD_ON):
        version = find_version_in(session, plan, "published")
        if plan.archived_at is None and version is not None and currency in spec_of(version).currencies:
            found.append(plan)
    return found
