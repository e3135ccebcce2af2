"""Tables of the taxes room: rates by code and place."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.append_only import Kept, keep_rows
from tollkeeper.storage.base import Base, ExactDecimal, UtcDateTime


class TaxRate(Base):
    """What is due on what is sold under a tax code in a place; null means any code, any region, since ever.

    It only ever gets an end (`valid_to`): another percentage is another rate.
    """

    __tablename__ = "tax_rates"
    __table_args__ = (
        CheckConstraint("valid_to > valid_from", name="ends_after_start"),
        # the rates that may hold for a payer
        Index("ix_tax_rates_country", "country"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    tax_code: Mapped[str | None]
    country: Mapped[str]
    region: Mapped[str | None]
    percentage: Mapped[Decimal] = mapped_column(ExactDecimal)
    valid_from: Mapped[datetime | None] = mapped_column(UtcDateTime)
    valid_to: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


keep_rows(TaxRate.__table__, Kept(message="a tax rate never changes", living=frozenset({"valid_to"})))
