"""Table of the e-mails that bring invoices to their buyers."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.base import Base, UtcDateTime


class InvoiceMail(Base):
    """One e-mail with an invoice: due at `next_attempt_at` until it is sent or given up; its key makes it one.

    It goes to the address that the payer has when it is sent, which is not kept here. `next_attempt_at` and what
    follows are the machine's time; a first attempt is due at once.
    """

    __tablename__ = "invoice_mails"
    __table_args__ = (Index("ix_invoice_mails_next_attempt_at", "next_attempt_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    asked_by: Mapped[str]
    attempts: Mapped[int]
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    given_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None]
