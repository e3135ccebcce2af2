"""Which coupons count on an invoice, and on which they were used."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from tollkeeper.coupons.tables import Coupon, CouponRedemption, CouponUse, Duration

Held = tuple[CouponRedemption, Coupon]


def held_coupons(
    session: Session, customer_ids: Collection[str], currency: str, *, at: datetime, is_locked: bool = False
) -> list[Held]:
    """Return the coupons of some customers that still take something off, in the order of their redemption.

    With `is_locked` nobody else uses them up until this transaction ends.
    """
    query = (
        select(CouponRedemption, Coupon)
        .join(Coupon, Coupon.id == CouponRedemption.coupon_id)
        .where(
            CouponRedemption.customer_id.in_(customer_ids),
            CouponRedemption.redeemed_at <= at,
            or_(CouponRedemption.ended_at.is_(None), CouponRedemption.ended_at > at),
            or_(Coupon.currency.is_(None), Coupon.currency == currency),
        )
        .order_by(CouponRedemption.id)
    )
    if is_locked:
        query = query.with_for_update(of=CouponRedemption)
    held = [(redemption, coupon) for redemption, coupon in session.execute(query)]
    if not held:
        return []
    used = _uses_of(session, [redemption.id for redemption, _ in held])
    return [(redemption, coupon) for redemption, coupon in held if _is_left(coupon, used.get(redemption.id, 0))]


def _is_left(coupon: Coupon, used: int) -> bool:
    most = most_uses(coupon)
    return most is None or used < most


def most_uses(coupon: Coupon) -> int | None:
    """Return on how many invoices a redeemed coupon takes something off; None without an end."""
    return None if coupon.duration == Duration.FOREVER else (coupon.periods or 1)


def _uses_of(session: Session, redemption_ids: Sequence[str]) -> dict[str, int]:
    rows = session.execute(
        select(CouponUse.redemption_id, func.count())
        .where(CouponUse.redemption_id.in_(redemption_ids), CouponUse.released_at.is_(None))
        .group_by(CouponUse.redemption_id)
    )
    return {redemption_id: count for redemption_id, count in rows}  # noqa: C416 - dict() of rows has no type


def count_uses(session: Session, redemption_id: str) -> int:
    """Return on how many invoices a redeemed coupon took something off."""
    return _uses_of(session, [redemption_id]).get(redemption_id, 0)


def note_use(session: Session, redemption_id: str, invoice_id: str, amount_minor: int, *, now: datetime) -> None:
    """Note what a coupon took off an invoice that is being issued; the caller has locked the redemption."""
    session.add(CouponUse(redemption_id=redemption_id, invoice_id=invoice_id, amount_minor=amount_minor, used_at=now))


def release_uses(session: Session, invoice_id: str, *, now: datetime) -> None:
    """Give back the uses of an invoice that is voided; a repeat keeps the first instant."""
    session.execute(
        update(CouponUse)
        .where(CouponUse.invoice_id == invoice_id, CouponUse.released_at.is_(None))
        .values(released_at=now)
    )
