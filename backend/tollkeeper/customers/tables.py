"""Customers, the mappings of consumers to them, and what the mappings come to for each subject."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.base import Base, Json, UtcDateTime


class TaxExemption(StrEnum):
    """Whether tax is charged: as usual, not at all, or due by the customer itself (reverse charge)."""

    NONE = "none"
    EXEMPT = "exempt"
    REVERSE = "reverse"


class Customer(Base):
    """Who pays; a customer with a parent uses, and the top of the chain pays."""

    __tablename__ = "customers"

    id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    email: Mapped[str | None]
    currency: Mapped[str]
    time_zone: Mapped[str]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"), index=True)
    address: Mapped[dict[str, Any] | None] = mapped_column(Json)
    # each {"type": "eu_vat", "value": "DE123456789"}; the types are Stripe's names
    tax_ids: Mapped[list[dict[str, str]]] = mapped_column(Json)
    tax_exemption: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ConsumerMapping(Base):
    """An operator's word that a consumer is a customer's from one instant to another (exclusive, or for ever)."""

    __tablename__ = "consumer_mappings"
    __table_args__ = (Index("ix_consumer_mappings_match_value", "match", "value"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    match: Mapped[str]
    value: Mapped[str]
    valid_from: Mapped[datetime] = mapped_column(UtcDateTime)
    valid_to: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Subject(Base):
    """A subject that events named, or a consumer that Kong has; its number stands for it in the event store."""

    __tablename__ = "subjects"

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True
    )
    subject: Mapped[str] = mapped_column(unique=True)
    consumer_id: Mapped[str | None] = mapped_column(index=True)
    username: Mapped[str | None] = mapped_column(index=True)
    custom_id: Mapped[str | None] = mapped_column(index=True)
    credential: Mapped[str | None]
    first_seen: Mapped[datetime] = mapped_column(UtcDateTime)


class Attribution(Base):
    """Whose usage a subject's is, from one instant to another: derived from the mappings, joined by usage.

    The intervals of one subject never overlap.
    """

    __tablename__ = "attributions"

    id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(ForeignKey("subjects.subject"), index=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    valid_from: Mapped[datetime] = mapped_column(UtcDateTime)
    valid_to: Mapped[datetime | None] = mapped_column(UtcDateTime)
