"""The coupons check themselves: every invariant is a query that finds nothing."""

from collections.abc import Callable, Iterator

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.coupons.tables import Coupon, CouponRedemption, CouponUse
from tollkeeper.coupons.uses import most_uses


def _redemptions_are_counted(session: Session) -> Iterator[str]:
    count = func.count(CouponRedemption.id)
    rows = session.execute(
        select(Coupon.code, Coupon.redemptions, Coupon.max_redemptions, count)
        .outerjoin(CouponRedemption, CouponRedemption.coupon_id == Coupon.id)
        .group_by(Coupon.code, Coupon.redemptions, Coupon.max_redemptions)
    )
    for code, said, most, counted in rows:
        if counted != said or (most is not None and counted > most):
            yield f"coupon {code}: was redeemed {counted} times, says {said}, of at most {most}"


def _no_coupon_is_used_too_often(session: Session) -> Iterator[str]:
    rows = session.execute(
        select(Coupon, CouponRedemption.id, func.count())
        .join(CouponRedemption, CouponRedemption.coupon_id == Coupon.id)
        .join(CouponUse, CouponUse.redemption_id == CouponRedemption.id)
        .where(CouponUse.released_at.is_(None))
        .group_by(Coupon.id, CouponRedemption.id)
    )
    for coupon, redemption_id, used in rows:
        most = most_uses(coupon)
        if most is not None and used > most:
            yield f"coupon {coupon.code}, redemption {redemption_id}: took off {used} invoices, of at most {most}"


COUPON_CHECKS: tuple[Callable[[Session], Iterator[str]], ...] = (
    _redemptions_are_counted,
    _no_coupon_is_used_too_often,
)
