"""Subscriptions, the terms (plan versions over time) that they consist of, pauses, and quantities of seats."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.catalog.tables import PlanKind
from tollkeeper.storage.append_only import Kept, keep_rows
from tollkeeper.storage.base import Base, ExactDecimal, Json, UtcDateTime


class Subscription(Base):
    """A customer on a plan from an instant.

    `plan_version_id` is that of the latest term, which a change at the period's end puts in the future;
    terms.py says which one holds at an instant. `status` is what was decided: `active`, or `canceled`
    once an end is set (which may be still to come); see state.py for what holds at an instant. With
    `is_rest_forfeited` fees in advance of the period that the end cuts are not given back.
    `billed_until` and `next_due_at` are the billing run's own marks (billing_periods.py).
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        # The billing run looks for due subscriptions every few seconds.
        Index("ix_subscriptions_next_due_at", "next_due_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    plan_key: Mapped[str]
    plan_version_id: Mapped[str] = mapped_column(ForeignKey("plan_versions.id"), index=True)
    status: Mapped[str] = mapped_column(default="active")
    currency: Mapped[str]
    time_zone: Mapped[str]
    anchor: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_rest_forfeited: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    canceled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    billed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SubscriptionTerm(Base):
    """A plan version that a subscription is on, from `starts_at` until the next term or the end.

    Or, of kind `add_on`, `quantity` of an add-on's version until `ends_at`; charges name a plan and its add-ons alike.

    A plan's phases are counted from `starts_at`, beginning with the first; after a migration they go on instead:
    from `first_phase_key`, which is counted from `phases_from`. A term that another one replaced keeps its
    row, with `removed_at`: charges may name it.
    """

    __tablename__ = "subscription_terms"
    __table_args__ = (
        Index(
            "ix_subscription_terms_one_at_a_time",
            "subscription_id",
            "starts_at",
            unique=True,
            sqlite_where=text("removed_at IS NULL AND kind = 'plan'"),
            postgresql_where=text("removed_at IS NULL AND kind = 'plan'"),
        ),
        Index("ix_subscription_terms_plan_version_id", "plan_version_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"))
    kind: Mapped[str] = mapped_column(default=PlanKind.PLAN)
    plan_version_id: Mapped[str] = mapped_column(ForeignKey("plan_versions.id"))
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    quantity: Mapped[Decimal] = mapped_column(ExactDecimal, default=Decimal(1))
    first_phase_key: Mapped[str | None]
    phases_from: Mapped[datetime | None] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SubscriptionPause(Base):
    """From `starts_at` until `ends_at` (None: until it is resumed) a subscription charges and allows nothing.

    A pause that was undone before it began keeps its row, with `removed_at`.
    """

    __tablename__ = "subscription_pauses"
    __table_args__ = (Index("ix_subscription_pauses_subscription_id", "subscription_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"))
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SubscriptionQuantity(Base):
    """How many of a flat rate card (seats) a subscription has from an instant."""

    __tablename__ = "subscription_quantities"
    __table_args__ = (UniqueConstraint("subscription_id", "rate_card_key", "starts_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"))
    rate_card_key: Mapped[str]
    quantity: Mapped[Decimal] = mapped_column(ExactDecimal)
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SubscriptionOverride(Base):
    """From `starts_at` on a rate card of a plan's phase is another for this subscription, until the next override.

    `rate_card` None drops it. `is_reset` gives the plan's own back. `is_added` is for a key that the plan has not.
    A row never changes but for `removed_at`, which takes a planned one back: charges name it.
    """

    __tablename__ = "subscription_overrides"
    __table_args__ = (Index("ix_subscription_overrides_subscription_id", "subscription_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"))
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"))
    phase_key: Mapped[str]
    rate_card_key: Mapped[str]
    rate_card: Mapped[dict[str, Any] | None] = mapped_column(Json)
    is_added: Mapped[bool]
    is_reset: Mapped[bool]
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


keep_rows(
    SubscriptionOverride.__table__,
    Kept(message="a price override never changes", living=frozenset({"removed_at"})),
)
# Whose it is and from when it counts was agreed; the rest is its life.
keep_rows(
    Subscription.__table__,
    Kept(
        message="whose a subscription is and its calendar never change",
        living=frozenset(
            {
                "plan_key", "plan_version_id", "status", "ends_at", "is_rest_forfeited", "canceled_at",
                "billed_until", "next_due_at",
            }
        ),
    ),
)  # fmt: skip
