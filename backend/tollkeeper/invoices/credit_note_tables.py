"""Tables of credit notes: documents of their own, with numbers of their own, that take back a part of an invoice."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.base import Base, Json, UtcDateTime


class CreditReason(StrEnum):
    """Why something is taken back; Stripe's own words."""

    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    ORDER_CHANGE = "order_change"
    PRODUCT_UNSATISFACTORY = "product_unsatisfactory"


class Settlement(StrEnum):
    """Where money goes that was paid already: into prepaid credit, back by Stripe, or back past Stripe."""

    CREDIT = "credit"
    REFUND = "refund"
    OUT_OF_BAND = "out_of_band"


class CreditNoteStatus(StrEnum):
    """A credit note is issued as it is made; one that only took off what was due may be voided while more is due."""

    ISSUED = "issued"
    VOID = "void"


class NoteSync(StrEnum):
    """Where the way of a credit note to Stripe stands."""

    WAITING = "waiting"
    STOPPED = "stopped"
    DONE = "done"


class CreditNote(Base):
    """What is taken back of one invoice; only `LIVING_COLUMNS` of credit_note_immutable.py ever change.

    `total = net + tax = reduction + credit + refund + out_of_band`: the reduction is of what was still due, and of
    the credit `prepaid_minor` goes back for prepaid credit that the invoice drew, of which Stripe knows nothing.
    `proof` has net and tax by the invoice's tax lines, and the credit notes that counted before it.
    """

    __tablename__ = "credit_notes"
    __table_args__ = (
        UniqueConstraint("legal_entity", "sequence_number"),
        UniqueConstraint("invoice_id", "key"),
        CheckConstraint("total_minor > 0 AND net_minor >= 0 AND tax_minor >= 0", name="takes_something_back"),
        CheckConstraint("net_minor + tax_minor = total_minor", name="net_and_tax"),
        CheckConstraint(
            "reduction_minor + credit_minor + refund_minor + out_of_band_minor = total_minor", name="goes_somewhere"
        ),
        # the job that brings them to Stripe
        Index("ix_credit_notes_stripe_state_stripe_due_at", "stripe_state", "stripe_due_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    legal_entity: Mapped[str] = mapped_column(ForeignKey("legal_entities.key"))
    number: Mapped[str] = mapped_column(unique=True)
    sequence_number: Mapped[int] = mapped_column(BigInteger)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), index=True)
    buyer: Mapped[dict[str, Any]] = mapped_column(Json)
    seller: Mapped[dict[str, Any]] = mapped_column(Json)
    currency: Mapped[str]
    reason: Mapped[str]
    memo: Mapped[str]
    key: Mapped[str | None]
    net_minor: Mapped[int] = mapped_column(BigInteger)
    tax_minor: Mapped[int] = mapped_column(BigInteger)
    total_minor: Mapped[int] = mapped_column(BigInteger)
    reduction_minor: Mapped[int] = mapped_column(BigInteger)
    credit_minor: Mapped[int] = mapped_column(BigInteger)
    prepaid_minor: Mapped[int] = mapped_column(BigInteger)
    refund_minor: Mapped[int] = mapped_column(BigInteger)
    out_of_band_minor: Mapped[int] = mapped_column(BigInteger)
    proof: Mapped[dict[str, Any]] = mapped_column(Json)
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    issued_by: Mapped[str]
    content_digest: Mapped[str]

    status: Mapped[str]
    voided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    voided_by: Mapped[str | None]
    stripe_id: Mapped[str | None] = mapped_column(unique=True)
    stripe_state: Mapped[str]
    stripe_due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    stripe_failures: Mapped[int] = mapped_column(default=0)
    stripe_problem: Mapped[str | None]


class CreditNoteLine(Base):
    """One line of a credit note, before tax: a part of an invoice's line, or of the invoice as a whole."""

    __tablename__ = "credit_note_lines"
    __table_args__ = (CheckConstraint("amount_minor > 0", name="amount_is_positive"),)

    credit_note_id: Mapped[str] = mapped_column(ForeignKey("credit_notes.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    invoice_line_id: Mapped[str | None] = mapped_column(ForeignKey("invoice_lines.id"), index=True)
    description: Mapped[str]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
