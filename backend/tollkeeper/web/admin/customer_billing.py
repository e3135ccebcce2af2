"""How a customer is billed: who sells to it, in how many days it pays, and the coupons that it redeemed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel
from sqlalchemy.orm import Session

from tollkeeper.coupons.redeem import end_redemption, list_redemptions, redeem_coupon
from tollkeeper.coupons.tables import Coupon, CouponRedemption
from tollkeeper.coupons.uses import count_uses
from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.invoices.legal_entities import find_terms, list_legal_entities, set_terms
from tollkeeper.invoices.tables import DEFAULT_LEGAL_ENTITY, LegalEntity
from tollkeeper.rating.reading import read_document
from tollkeeper.web.admin.forms import Form
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("customer_billing", __name__, url_prefix="/customers/<key>")


@dataclass(frozen=True, slots=True)
class Redemption:
    """A coupon that a customer redeemed, and on how many invoices it was used."""

    row: CouponRedemption
    coupon: Coupon
    uses: int


@dataclass(frozen=True, slots=True)
class Billing:
    """What the customer's page says of it; `seller` is None before the first invoice made the default one."""

    entities: Sequence[LegalEntity]
    seller: LegalEntity | None
    legal_entity: str
    payment_term_days: int | None
    redemptions: Sequence[Redemption]


class _Days(BaseModel):
    payment_term_days: int | None = None


def billing_of(session: Session, customer: Customer) -> Billing:
    """Return how a customer is billed."""
    own, entities = find_terms(session, customer.id), list_legal_entities(session)
    named = own.legal_entity if own else None
    rows = list_redemptions(session, customer.id)
    return Billing(
        entities=entities,
        seller=next((one for one in entities if one.key == (named or DEFAULT_LEGAL_ENTITY)), None),
        legal_entity=named or "",
        payment_term_days=own.payment_term_days if own else None,
        redemptions=[Redemption(row, coupon, count_uses(session, row.id)) for row, coupon in rows],
    )


@blueprint.post("/billing-terms")
def save_terms(key: str) -> ResponseReturnValue:
    """Say who sells to a customer and in how many days it pays; what is empty is left to the legal entity."""
    form = Form.of(request.form)

    def act(session: Session, _now: datetime) -> object:
        days = read_document(_Days, {"payment_term_days": form.text("payment_term_days") or None}, what="term")
        legal_entity = form.text("legal_entity") or None
        return set_terms(session, key, legal_entity=legal_entity, payment_term_days=days.payment_term_days)

    return _do(key, "The terms hold for invoices that are drafted from now on.", act)


@blueprint.post("/coupons")
def redeem(key: str) -> ResponseReturnValue:
    """Redeem a code for all that the customer pays for, or for one of its subscriptions."""
    form = Form.of(request.form)
    code, subscription_id = form.text("code").upper(), form.text("subscription") or None
    return _do(
        key,
        f"{code} is redeemed.",
        lambda session, now: redeem_coupon(session, key, code, subscription_id=subscription_id, now=now),
    )


@blueprint.post("/coupons/<redemption>/end")
def end(key: str, redemption: str) -> ResponseReturnValue:
    """Take a coupon off a customer's later invoices."""
    with snapshot() as session:
        customer_id = get_customer(session, key).id
    return _do(
        key,
        "The coupon is taken off later invoices.",
        lambda session, now: end_redemption(session, customer_id, redemption, now=now),
    )


def _do(key: str, done: str, act: Callable[[Session, datetime], object]) -> ResponseReturnValue:
    with snapshot() as session:
        get_customer(session, key)
    try:
        with transaction() as session:
            act(session, web_context().clock.now())
    except (InvalidInput, Conflict, NotFound) as error:
        flash(f"Nothing was changed: {error.message}", "bad")
    else:
        flash(done)
    return redirect(url_for("admin.customers.show", key=key, _anchor="billing"))
