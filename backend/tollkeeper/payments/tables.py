"""Tables of the payments room: customers at Stripe, syncs, the requests outbox, the webhook inbox, the stand-in."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.base import Base, Json, UtcDateTime


class SyncState(StrEnum):
    """Where the way of one invoice to Stripe stands."""

    WAITING = "waiting"
    HELD = "held"
    STOPPED = "stopped"
    DONE = "done"


class StripeCustomer(Base):
    """Our customer's counterpart at Stripe, in one of its worlds (test, live, or the stand-in)."""

    __tablename__ = "stripe_customers"

    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StripeSync(Base):
    """The way of one issued invoice to Stripe: a job claims the due rows (`claimed_until` is the lease)."""

    __tablename__ = "stripe_syncs"
    __table_args__ = (Index("ix_stripe_syncs_state_due_at", "state", "due_at"),)

    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    goal: Mapped[str]
    state: Mapped[str]
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failures: Mapped[int] = mapped_column(default=0)
    problem: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # when Stripe was last asked about it without being told to by a webhook
    read_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StripeRequest(Base):
    """One POST as decided: key and parameters are kept, so that a repeat is the same request to the letter.

    `attempt` counts keys: the next one is taken only after looking whether the last one did its work.
    """

    __tablename__ = "stripe_requests"
    __table_args__ = (UniqueConstraint("account", "operation", "subject_id", "part", "attempt"),)

    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str]
    operation: Mapped[str]
    subject_id: Mapped[str] = mapped_column(index=True)
    part: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=1)
    parameters: Mapped[dict[str, Any]] = mapped_column(Json)
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stripe_id: Mapped[str | None]
    is_doubtful: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None]


class StripeEvent(Base):
    """A webhook as received: the unique id makes a repeat harmless, a job applies it later."""

    __tablename__ = "stripe_events"
    __table_args__ = (Index("ix_stripe_events_applied_at_due_at", "applied_at", "due_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    is_live: Mapped[bool]
    object_id: Mapped[str | None]
    payload: Mapped[dict[str, Any]] = mapped_column(Json)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    failures: Mapped[int] = mapped_column(default=0)
    applied_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None]


class StandInObject(Base):
    """An object of the in-process stand-in for Stripe; it survives a restart because it is a row."""

    __tablename__ = "stripe_stand_in_objects"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(index=True)
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    position: Mapped[int]


class StandInAnswer(Base):
    """What the stand-in answered under an idempotency key."""

    __tablename__ = "stripe_stand_in_answers"

    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    request_digest: Mapped[str]
    status: Mapped[int]
    body: Mapped[str]
