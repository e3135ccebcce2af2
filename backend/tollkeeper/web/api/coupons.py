"""Coupons over the API: make, list, archive; redeem a code for a customer or one of its subscriptions."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from tollkeeper.catalog.words import Currency, Key
from tollkeeper.coupons.coupons import (
    MOST_PERIODS,
    CouponDraft,
    archive_coupon,
    create_coupon,
    get_coupon,
    list_coupons,
)
from tollkeeper.coupons.redeem import end_redemption, list_redemptions, redeem_coupon
from tollkeeper.coupons.tables import Coupon, CouponRedemption, Duration
from tollkeeper.coupons.uses import count_uses
from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import InvalidInput
from tollkeeper.money import format_minor, parse_minor
from tollkeeper.rating.decimals import Percentage, plain
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.credits import Amount, AmountIn, Text
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_coupons", __name__, url_prefix="/api/v1")

Code = Annotated[str, Field(min_length=2, max_length=40, description="A-Z, 0-9, _ and -.", examples=["WELCOME-10"])]


class CouponIn(BaseModel):
    """A coupon to be made; its terms never change afterwards."""

    model_config = ConfigDict(extra="forbid")

    code: Code
    name: Annotated[Text, Field(description="Stands on invoices.")]
    percentage: Annotated[Percentage | None, Field(description="Per cent off; or else an amount.")] = None
    amount: Annotated[AmountIn | None, Field(description="Off each invoice, in major units; needs a currency.")] = None
    currency: Annotated[Currency | None, Field(description="Of the amount.")] = None
    duration: Annotated[Duration, Field(description="On how many invoices it takes something off.")] = Duration.ONCE
    periods: Annotated[int | None, Field(ge=1, le=MOST_PERIODS, description="On so many invoices, if repeating.")] = (
        None
    )
    features: Annotated[list[Key], Field(max_length=100, description="Only what these cost; empty: everything.")] = []
    valid_from: Annotated[Instant | None, Field(description="From when it may be redeemed; by default now.")] = None
    valid_to: Annotated[Instant | None, Field(description="Until when, exclusive; by default for ever.")] = None
    max_redemptions: Annotated[int | None, Field(ge=1, le=10**9, description="By so many in all.")] = None


class CouponOut(BaseModel):
    """A coupon and how often it was redeemed."""

    id: str
    code: str
    name: str
    percentage: str | None
    amount: Amount | None
    currency: str | None
    duration: Duration
    periods: int | None
    features: list[str]
    valid_from: datetime
    valid_to: datetime | None
    max_redemptions: int | None
    redemptions: int
    created_at: datetime
    archived_at: datetime | None


class RedeemIn(BaseModel):
    """What is redeemed, and for what."""

    model_config = ConfigDict(extra="forbid")

    code: Code
    subscription: Annotated[
        str | None,
        Field(max_length=64, pattern=r"^[^\x00]*$", description="Only for this subscription; null: for all."),
    ] = None


class RedemptionOut(BaseModel):
    """A redeemed coupon and on how many invoices it was used."""

    id: str
    code: str
    customer: str
    subscription: str | None
    redeemed_at: datetime
    ended_at: datetime | None
    uses: int


class RedemptionsOut(BaseModel):
    """All that a customer redeemed."""

    items: list[RedemptionOut]


@blueprint.post("/coupons")
@endpoint("write", body=CouponIn, answer=CouponOut, status=201)
def create_one_coupon(body: CouponIn) -> CouponOut:
    """Make a coupon: per cent or an amount off, once, on some invoices or for ever, by a code."""
    with transaction() as session:
        return _describe(create_coupon(session, draft_of(body), now=web_context().clock.now()))


def draft_of(body: CouponIn) -> CouponDraft:
    """Return the coupon that is asked for, its amount in minor units; raises InvalidInput."""
    if body.amount is not None and body.currency is None:
        raise InvalidInput.of("/currency", "is missing: an amount is in a currency")
    amount = None
    if body.amount is not None and body.currency is not None:
        amount = parse_minor(body.amount, body.currency, "/amount")
    return CouponDraft(**body.model_dump(exclude={"amount"}, mode="python"), amount_minor=amount)


@blueprint.get("/coupons")
@endpoint("read", query=PageQuery, answer=Page[CouponOut])
def list_every_coupon(query: PageQuery) -> Page[CouponOut]:
    """List coupons, oldest first, archived ones too."""
    with snapshot() as session:
        rows = list_coupons(session, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, _describe, lambda row: row.id)


@blueprint.get("/coupons/<code>")
@endpoint("read", answer=CouponOut)
def show_one_coupon(code: str) -> CouponOut:
    """Show a coupon by its code."""
    with snapshot() as session:
        return _describe(get_coupon(session, code))


@blueprint.delete("/coupons/<code>")
@endpoint("write", answer=CouponOut)
def archive_one_coupon(code: str) -> CouponOut:
    """Let nobody redeem a coupon any more; who has redeemed it keeps it."""
    with transaction() as session:
        return _describe(archive_coupon(session, code, now=web_context().clock.now()))


@blueprint.post("/customers/<customer>/coupons")
@endpoint("write", body=RedeemIn, answer=RedemptionOut)
def redeem(customer: str, body: RedeemIn) -> RedemptionOut:
    """Redeem a code for a customer or one of its subscriptions; a repeat answers with the first redemption."""
    with transaction() as session:
        redeemed = redeem_coupon(
            session, customer, body.code, subscription_id=body.subscription, now=web_context().clock.now()
        )
        return _describe_redemption(session, redeemed, get_coupon(session, body.code))


@blueprint.get("/customers/<customer>/coupons")
@endpoint("read", answer=RedemptionsOut)
def show_redemptions(customer: str) -> RedemptionsOut:
    """List what a customer redeemed, and on how many invoices it was used."""
    with snapshot() as session:
        rows = list_redemptions(session, get_customer(session, customer).id)
        return RedemptionsOut(items=[_describe_redemption(session, *row) for row in rows])


@blueprint.delete("/customers/<customer>/coupons/<redemption>")
@endpoint("write", answer=RedemptionOut)
def end_one_redemption(customer: str, redemption: str) -> RedemptionOut:
    """Take a coupon off a customer's later invoices."""
    with transaction() as session:
        found = get_customer(session, customer)
        ended = end_redemption(session, found.id, redemption, now=web_context().clock.now())
        return _describe_redemption(session, ended, get_coupon(session, ended.coupon_id))


def _describe(coupon: Coupon) -> CouponOut:
    amount = None
    if coupon.amount_minor is not None and coupon.currency is not None:
        amount = format_minor(coupon.amount_minor, coupon.currency)
    return CouponOut(
        id=coupon.id,
        code=coupon.code,
        name=coupon.name,
        percentage=None if coupon.percentage is None else plain(coupon.percentage),
        amount=amount,
        currency=coupon.currency,
        duration=Duration(coupon.duration),
        periods=coupon.periods,
        features=coupon.features,
        valid_from=coupon.valid_from,
        valid_to=coupon.valid_to,
        max_redemptions=coupon.max_redemptions,
        redemptions=coupon.redemptions,
        created_at=coupon.created_at,
        archived_at=coupon.archived_at,
    )


def _describe_redemption(session: Session, redemption: CouponRedemption, coupon: Coupon) -> RedemptionOut:
    return RedemptionOut(
        id=redemption.id,
        code=coupon.code,
        customer=redemption.customer_id,
        subscription=redemption.subscription_id,
        redeemed_at=redemption.redeemed_at,
        ended_at=redemption.ended_at,
        uses=count_uses(session, redemption.id),
    )
