"""Coupons and promotional credit: what comes off the lines that they cover, before tax."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tollkeeper.rating.decimals import round_half_up
from tollkeeper.rating.spread import spread_minor


@dataclass(frozen=True, slots=True)
class FixedCoupon:
    """An amount; what exceeds the lines is lost."""

    amount_minor: int


@dataclass(frozen=True, slots=True)
class PercentageCoupon:
    """Per cent of the lines, 0 to 100."""

    percentage: Decimal


Coupon = FixedCoupon | PercentageCoupon


def coupon_parts(lines_minor: Sequence[int], coupon: Coupon, most_minor: int | None = None) -> list[int]:
    """Return what the coupon takes off each covered line, as amounts of zero or more.

    It is computed once, on the sum of the lines (discounts, which are negative, included), is at most that
    sum, and is spread over the positive lines by largest remainder. `most_minor` is what all lines of the
    document come to: credits among those that the coupon does not cover may leave less than the covered sum.
    """
    base_minor = max(0, sum(lines_minor))
    most_minor = base_minor if most_minor is None else max(0, min(base_minor, most_minor))
    return _parts(lines_minor, min(most_minor, _off_minor(base_minor, coupon)))


def coupons_parts(lines_minor: Sequence[int], coupons: Sequence[Coupon]) -> list[list[int]]:
    """Return the parts of several coupons in their order: each is computed on what the ones before left."""
    left = list(lines_minor)
    taken = []
    for coupon in coupons:
        parts = coupon_parts(left, coupon)
        left = [line - part for line, part in zip(left, parts, strict=True)]
        taken.append(parts)
    return taken


def draw_credit(lines_minor: Sequence[int], balances_minor: Sequence[int]) -> list[list[int]]:
    """Return what each grant pays of each line, grants in the order in which they burn.

    A grant pays what is left of the sum of the lines, up to its balance; a later one is touched only when the
    ones before are used up.
    """
    left_minor = max(0, sum(lines_minor))
    left = list(lines_minor)
    drawn = []
    for balance_minor in balances_minor:
        parts = _parts(left, min(left_minor, max(0, balance_minor)))
        left_minor -= sum(parts)
        left = [line - part for line, part in zip(left, parts, strict=True)]
        drawn.append(parts)
    return drawn


def _off_minor(base_minor: int, coupon: Coupon) -> int:
    if isinstance(coupon, FixedCoupon):
        if coupon.amount_minor < 0:
            raise ValueError("a coupon takes zero or more off")
        return coupon.amount_minor
    if not 0 <= coupon.percentage <= 100:
        raise ValueError("a coupon takes 0 to 100 per cent off")
    return round_half_up(base_minor * Fraction(coupon.percentage) / 100)


def _parts(lines_minor: Sequence[int], off_minor: int) -> list[int]:
    return spread_minor(off_minor, [max(0, line) for line in lines_minor])
