"""Usage by day: of a meter or a feature, of everybody or one customer's family, cut by a dimension."""

from collections.abc import Sequence

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from tollkeeper.catalog.features import list_features
from tollkeeper.customers.customers import family_of, get_customer, list_customers
from tollkeeper.metering.measure import Question
from tollkeeper.metering.meters import get_meter, list_meters
from tollkeeper.metering.windows import Window
from tollkeeper.usage.usage_of import question_of
from tollkeeper.web.admin.forms import Form
from tollkeeper.web.admin.series import Series, last_days, rank, series_by_day
from tollkeeper.web.context import snapshot, web_context

blueprint = Blueprint("usage", __name__, url_prefix="/usage")

MOST_CHOICES = 200
DAYS = {"7": "7 days", "30": "30 days", "90": "90 days"}
DIMENSIONS = ("route", "service", "status", "method", "consumer", "model", "provider")


@blueprint.get("")
def show() -> ResponseReturnValue:
    """Show the chart that the query asks for; requests of everybody in 30 days by default."""
    form = Form.of(request.args)
    what = form.text("what") or "meter:requests"
    cut = form.text("by")
    days = last_days(web_context().clock.now(), int(form.text("days")) if form.text("days") in DAYS else 30)
    with snapshot() as session:
        customers = list_customers(session, limit=MOST_CHOICES)
        question = _question(session, what, cut if cut in DIMENSIONS else "")
        chosen = get_customer(session, form.text("customer")) if form.text("customer") else None
        if cut == "customer":
            series = _by_customer(session, question, days, chosen.id if chosen else None)
        else:
            ids = [member.id for member in family_of(session, chosen.id)] if chosen else None
            series = series_by_day(session, question, days, customer_ids=ids)
        choices = _choices(session)
    texts = {"what": what, "by": cut, "days": str(len(days)), "customer": chosen.key if chosen else ""}
    return render_template(
        "admin/usage.html",
        form=Form(texts=texts),
        choices=choices,
        customers=[(one.key, one.name) for one in customers],
        cuts=[("customer", "customer"), *((name, name) for name in DIMENSIONS)],
        spans=list(DAYS.items()),
        days=days,
        series=series,
        unit=dict(choices).get(what, what),
        chosen=chosen,
    )


def _question(session: Session, what: str, cut: str) -> Question:
    kind, _, key = what.partition(":")
    group_by = (cut,) if cut else ()
    if kind == "feature":
        return question_of(session, key, group_by)
    return Question(get_meter(session, key), {}, group_by)


def _by_customer(session: Session, question: Question, days: Sequence[Window], payer_id: str | None) -> list[Series]:
    members = family_of(session, payer_id) if payer_id else list_customers(session, limit=MOST_CHOICES)
    return rank(
        Series(member.name, one.numbers)
        for member in members
        for one in series_by_day(session, question, days, customer_ids=[member.id])
    )


def _choices(session: Session) -> list[tuple[str, str]]:
    features = [(f"feature:{row.key}", row.name) for row in list_features(session, limit=MOST_CHOICES) if row.meter_key]
    meters = [(f"meter:{row.key}", row.name) for row in list_meters(session, limit=MOST_CHOICES)]
    return [*features, *meters]
