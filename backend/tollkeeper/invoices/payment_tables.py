"""Tables of an issued invoice's later life: what was paid for it, and every act with who did it and when."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.append_only import keep_append_only
from tollkeeper.storage.base import Base, UtcDateTime


class PaymentMethod(StrEnum):
    """By which way money came."""

    STRIPE = "stripe"
    OUT_OF_BAND = "out_of_band"


class InvoiceActKind(StrEnum):
    """What was done to an invoice."""

    ISSUED = "issued"
    PAYMENT = "payment"
    SETTLED = "settled"
    CREDIT_NOTE = "credit_note"
    CREDIT_NOTE_VOIDED = "credit_note_voided"
    OVERDUE = "overdue"
    UNCOLLECTIBLE = "uncollectible"
    VOIDED = "voided"


class InvoicePayment(Base):
    """Money for one invoice; `key` is the caller's own name for it, under which it is recorded once."""

    __tablename__ = "invoice_payments"
    __table_args__ = (
        UniqueConstraint("invoice_id", "key"),
        CheckConstraint("amount_minor > 0", name="amount_is_positive"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    method: Mapped[str]
    reference: Mapped[str | None]
    key: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    recorded_by: Mapped[str]


class InvoiceAct(Base):
    """One act on an invoice, for ever: the state before and after, who, when, and what else there is to say."""

    __tablename__ = "invoice_acts"

    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    from_status: Mapped[str]
    to_status: Mapped[str]
    happened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str]
    note: Mapped[str]


keep_append_only(InvoicePayment.__table__, "a recorded payment never changes")
keep_append_only(InvoiceAct.__table__, "what was done to an invoice never changes")
