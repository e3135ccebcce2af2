"""Which invoice charges which automatic top-up: the key is the fall of the balance, so each is charged once."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.append_only import keep_append_only
from tollkeeper.storage.base import Base, UtcDateTime


class CreditTopUp(Base):
    """A top-up that is charged: the wallet, when its balance fell below the threshold, and the invoice for it."""

    __tablename__ = "credit_top_ups"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id", "currency"], ["credit_wallets.customer_id", "credit_wallets.currency"]),
        CheckConstraint("amount_minor > 0", name="amount_is_positive"),
    )

    customer_id: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    due_since: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), unique=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)


keep_append_only(CreditTopUp.__table__, "which invoice charges a top-up never changes")
