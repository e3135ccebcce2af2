"""Redeem a code for a customer or one of its subscriptions, and end what was redeemed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from tollkeeper.coupons.coupons import get_coupon
from tollkeeper.coupons.tables import Coupon, CouponRedemption
from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.upsert import insert_into
from tollkeeper.subscriptions.tables import Subscription


def redeem_coupon(
    session: Session, key_or_id: str, code: str, *, subscription_id: str | None = None, now: datetime
) -> CouponRedemption:
    """Give a customer the coupon of a code, for all that it pays for or for one subscription.

    A repeat returns the first redemption. Raises NotFound for an unknown code, and Conflict for one that is not
    valid now, is of another currency, or was redeemed as often as it may be.
    """
    customer = get_customer(session, key_or_id)
    coupon = get_coupon(session, code)
    subscription = None if subscription_id is None else session.get(Subscription, subscription_id)
    if subscription_id is not None and (subscription is None or subscription.customer_id != customer.id):
        raise InvalidInput.of("/subscription", f"{customer.key!r} has no subscription {subscription_id!r}")
    target = subscription_id or customer.id
    earlier = _find(session, coupon.id, target)
    if earlier is not None:
        return earlier
    if coupon.currency is not None and coupon.currency != customer.currency:
        raise Conflict(
            f"coupon {code!r} takes off {coupon.currency}, but {customer.key!r} is billed in {customer.currency}"
        )
    return _take(session, coupon, customer.id, subscription_id, now=now)


def _take(
    session: Session, coupon: Coupon, customer_id: str, subscription_id: str | None, *, now: datetime
) -> CouponRedemption:
    """Insert first, then count: the unique key decides about repeats, the condition about the last one."""
    target = subscription_id or customer_id
    row = {
        "id": new_id("cpr"), "coupon_id": coupon.id, "customer_id": customer_id, "subscription_id": subscription_id,
        "target": target, "redeemed_at": now, "ended_at": None,
    }  # fmt: skip
    insert = insert_into(session, CouponRedemption).on_conflict_do_nothing().returning(CouponRedemption.id)
    if session.execute(insert, row).first() is not None:
        counted = session.scalars(
            update(Coupon)
            .where(
                Coupon.id == coupon.id,
                Coupon.archived_at.is_(None),
                Coupon.valid_from <= now,
                or_(Coupon.valid_to.is_(None), Coupon.valid_to > now),
                or_(Coupon.max_redemptions.is_(None), Coupon.redemptions < Coupon.max_redemptions),
            )
            .values(redemptions=Coupon.redemptions + 1)
            .returning(Coupon.id)
            .execution_options(synchronize_session=False)
        ).first()
        if counted is None:
            raise Conflict(_why_not(session, coupon.id, now=now))
    redeemed = _find(session, coupon.id, target)
    assert redeemed is not None
    session.refresh(coupon)
    return redeemed


def _why_not(session: Session, coupon_id: str, *, now: datetime) -> str:
    coupon = session.get_one(Coupon, coupon_id, populate_existing=True)
    if coupon.archived_at is not None:
        return f"coupon {coupon.code!r} is archived"
    if now < coupon.valid_from:
        return f"coupon {coupon.code!r} is valid from {coupon.valid_from.isoformat()} on"
    if coupon.valid_to is not None and now >= coupon.valid_to:
        return f"coupon {coupon.code!r} was valid until {coupon.valid_to.isoformat()}"
    return f"coupon {coupon.code!r} was redeemed {coupon.redemptions} times, which is as often as it may be"


def _find(session: Session, coupon_id: str, target: str) -> CouponRedemption | None:
    return session.scalars(
        select(CouponRedemption).where(CouponRedemption.coupon_id == coupon_id, CouponRedemption.target == target)
    ).first()


def end_redemption(session: Session, customer_id: str, redemption_id: str, *, now: datetime) -> CouponRedemption:
    """Take a coupon off later invoices; a repeat keeps the first instant. It is not redeemed again. Raises NotFound."""
    redemption = session.get(CouponRedemption, redemption_id, with_for_update=True)
    if redemption is None or redemption.customer_id != customer_id:
        raise NotFound(f"there is no redemption {redemption_id!r} of this customer")
    if redemption.ended_at is None:
        redemption.ended_at = now
        session.flush()
    return redemption


def list_redemptions(session: Session, customer_id: str) -> Sequence[tuple[CouponRedemption, Coupon]]:
    """Return what a customer redeemed, oldest first, with the coupons."""
    rows = session.execute(
        select(CouponRedemption, Coupon)
        .join(Coupon, Coupon.id == CouponRedemption.coupon_id)
        .where(CouponRedemption.customer_id == customer_id)
        .order_by(CouponRedemption.id)
    )
    return [(redemption, coupon) for redemption, coupon in rows]
