"""Move a consumer to another customer from a date on: choose, see what it changes, confirm."""

from datetime import datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer, list_customers
from tollkeeper.customers.map_consumer import list_mappings, remap_consumer
from tollkeeper.customers.tables import ConsumerMapping, Customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.invoices.preview_move import preview_move
from tollkeeper.web.admin import formats
from tollkeeper.web.admin.forms import Form, read_instant
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("move_consumer", __name__, url_prefix="/customers/<key>/consumers/<mapping_id>/move")

MOST_CHOICES = 1000


@blueprint.get("")
def show(key: str, mapping_id: str) -> ResponseReturnValue:
    """Offer the form; with `to` in the address, say what the move would change and ask for a yes."""
    form = Form.of(request.args)
    if "to" not in request.args:
        return _page(key, mapping_id, form)
    now = web_context().clock.now()
    try:
        with snapshot() as session:
            mapping, taker, since = _read(session, key, mapping_id, form, now)
            preview = preview_move(session, mapping, since=since, now=now)
            giver = get_customer(session, key)
            review = {"preview": preview, "taker": taker, "since": since}
            return render_template("admin/move_consumer_review.html", giver=giver, mapping=mapping, **review)
    except (InvalidInput, Conflict) as error:
        return _page(key, mapping_id, form.with_errors(error)), 422


@blueprint.post("")
def move(key: str, mapping_id: str) -> ResponseReturnValue:
    """Move the consumer; a mapping that has ended meanwhile is moved no more."""
    form = Form.of(request.form)
    now = web_context().clock.now()
    try:
        with transaction() as session:
            mapping, taker, since = _read(session, key, mapping_id, form, now)
            value = mapping.value
            remap_consumer(session, taker.id, mapping.match, value, since=since, now=now)
    except (InvalidInput, Conflict) as error:
        return _page(key, mapping_id, form.with_errors(error)), 422
    flash(f"Usage of {value} counts for {taker.name} from {formats.write_instant(since)} on.")
    return redirect(url_for("admin.customers.show", key=key))


def _page(key: str, mapping_id: str, form: Form) -> str:
    with snapshot() as session:
        giver = get_customer(session, key)
        mapping = _mapping_of(session, giver, mapping_id)
        takers = [one for one in list_customers(session, limit=MOST_CHOICES) if one.id != giver.id]
    return render_template("admin/move_consumer.html", giver=giver, mapping=mapping, takers=takers, form=form)


def _read(
    session: Session, key: str, mapping_id: str, form: Form, now: datetime
) -> tuple[ConsumerMapping, Customer, datetime]:
    giver = get_customer(session, key)
    mapping = _mapping_of(session, giver, mapping_id)
    if mapping.valid_to is not None:
        raise Conflict(f"the mapping ended on {formats.write_instant(mapping.valid_to)}; nothing was moved")
    try:
        taker = get_customer(session, form.text("to"))
    except NotFound:
        raise InvalidInput.of("/to", "choose a customer") from None
    if taker.id == giver.id:
        raise InvalidInput.of("/to", "has the consumer already; choose another customer")
    return mapping, taker, read_instant(form, "since") or now


def _mapping_of(session: Session, customer: Customer, mapping_id: str) -> ConsumerMapping:
    for mapping in list_mappings(session, customer_id=customer.id):
        if mapping.id == mapping_id:
            return mapping
    raise NotFound(f"{customer.name} has no mapping {mapping_id!r}")
