"""Limits and their states, whom they bind, the versioned feed of verdicts, and the gateway's nodes."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.base import Base, ExactDecimal, Json, UtcDateTime


class EntitlementLimit(Base):
    """One limit that may bind traffic: a metered entitlement of a subscription, or a feature not entitled to.

    `used` is as of the events stored at `counted_at`; `published_used` is what the feed said last, which may be
    a little older (publish.py). `is_stale` asks for a new count. `version` is that of the feed when the limit
    was published last. `stretches` are [customer, start, end] of whose usage counts, `edges` what is known of
    the parts of hours at their ends (counting.py); a count that took long is not repeated before `count_again_at`.
    With `is_paused` the limit refuses whatever is used.
    """

    __tablename__ = "entitlement_limits"
    __table_args__ = (
        Index("ix_entitlement_limits_version", "version"),
        Index("ix_entitlement_limits_is_stale", "is_stale"),
        Index("ix_entitlement_limits_is_unpublished", "is_unpublished"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"))
    feature_key: Mapped[str]
    kind: Mapped[str]
    scope: Mapped[dict[str, Any]] = mapped_column(Json)
    quota: Mapped[Decimal] = mapped_column(ExactDecimal)
    is_hard: Mapped[bool]
    is_paused: Mapped[bool] = mapped_column(default=False)
    thresholds: Mapped[list[str]] = mapped_column(Json)
    status: Mapped[int]
    period_start: Mapped[datetime | None] = mapped_column(UtcDateTime)
    period_end: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stretches: Mapped[list[list[str]]] = mapped_column(Json)
    used: Mapped[Decimal] = mapped_column(ExactDecimal)
    counted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    count_again_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    edges: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[str]
    code: Mapped[str]
    reason: Mapped[str]
    is_stale: Mapped[bool]
    is_unpublished: Mapped[bool]
    published_state: Mapped[str]
    published_used: Mapped[Decimal] = mapped_column(ExactDecimal)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(BigInteger)


class LimitedCustomer(Base):
    """A customer whose traffic a limit binds."""

    __tablename__ = "limited_customers"

    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), primary_key=True)
    limit_id: Mapped[str] = mapped_column(ForeignKey("entitlement_limits.id"), primary_key=True, index=True)


class SubjectVerdict(Base):
    """A subject that the feed knows: whose it is, or when it was removed."""

    __tablename__ = "subject_verdicts"
    __table_args__ = (Index("ix_subject_verdicts_version", "version"),)

    subject: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    customer_key: Mapped[str]
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(BigInteger)


class VerdictFeed(Base):
    """One row: where the feed is, and up to where it has read what it is derived from.

    Whoever changes the feed holds this row's lock, so versions become visible in their order.
    """

    __tablename__ = "verdict_feed"

    id: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[str]
    version: Mapped[int] = mapped_column(BigInteger)
    oldest_version: Mapped[int] = mapped_column(BigInteger)
    read_sequence: Mapped[int] = mapped_column(BigInteger)
    change_count: Mapped[int] = mapped_column(BigInteger)
    desired_digest: Mapped[str]
    derived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    derive_again_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class GatewayNode(Base):
    """A gateway node as its last heartbeat told it."""

    __tablename__ = "gateway_nodes"

    node: Mapped[str] = mapped_column(primary_key=True)
    first_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    version: Mapped[str]
    enforce: Mapped[str]
    verdict_cursor: Mapped[str | None]
    verdict_age_seconds: Mapped[str | None]
    clock_offset_ms: Mapped[int] = mapped_column(BigInteger)
    spool: Mapped[dict[str, Any]] = mapped_column(Json)
    counters: Mapped[dict[str, Any]] = mapped_column(Json)
    warnings: Mapped[list[str]] = mapped_column(Json)
    silent_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
