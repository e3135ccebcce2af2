"""Tables of the coupons room: coupons, their redemptions, and the invoices on which they were used."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.append_only import Kept, keep_rows
from tollkeeper.storage.base import Base, ExactDecimal, Json, UtcDateTime


class Duration(StrEnum):
    """How often a redeemed coupon takes something off."""

    ONCE = "once"
    REPEATING = "repeating"
    FOREVER = "forever"


class Coupon(Base):
    """What a code takes off; its terms never change, only how often it was redeemed and its end.

    Percentage or amount; of no features means of all.
    """

    __tablename__ = "coupons"
    __table_args__ = (
        CheckConstraint("(percentage IS NULL) <> (amount_minor IS NULL)", name="percentage_or_amount"),
        CheckConstraint("(amount_minor IS NULL) = (currency IS NULL)", name="amount_has_currency"),
        CheckConstraint("(duration = 'repeating') = (periods IS NOT NULL)", name="repeating_has_periods"),
        CheckConstraint("max_redemptions IS NULL OR redemptions <= max_redemptions", name="never_too_often"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    percentage: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    duration: Mapped[str]
    periods: Mapped[int | None]
    features: Mapped[list[str]] = mapped_column(Json)
    valid_from: Mapped[datetime] = mapped_column(UtcDateTime)
    valid_to: Mapped[datetime | None] = mapped_column(UtcDateTime)
    max_redemptions: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    redemptions: Mapped[int] = mapped_column(default=0)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CouponRedemption(Base):
    """A customer's right to a coupon, for all that it buys or for one subscription; `target` is the id of either."""

    __tablename__ = "coupon_redemptions"
    __table_args__ = (
        UniqueConstraint("coupon_id", "target"),
        # what a billing run looks for
        Index("ix_coupon_redemptions_customer_id", "customer_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    coupon_id: Mapped[str] = mapped_column(ForeignKey("coupons.id"))
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    target: Mapped[str]
    redeemed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CouponUse(Base):
    """What a redeemed coupon took off an invoice; a void invoice gives the use back."""

    __tablename__ = "coupon_uses"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="takes_something"),
        Index("ix_coupon_uses_invoice_id", "invoice_id"),
    )

    redemption_id: Mapped[str] = mapped_column(ForeignKey("coupon_redemptions.id"), primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    released_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


# What becomes of a coupon and of a use; everything else is what was agreed, and what was taken off.
keep_rows(
    Coupon.__table__,
    Kept(message="the terms of a coupon never change", living=frozenset({"redemptions", "archived_at"})),
)
keep_rows(
    CouponUse.__table__,
    Kept(message="what a coupon took off never changes", living=frozenset({"released_at"})),
)
