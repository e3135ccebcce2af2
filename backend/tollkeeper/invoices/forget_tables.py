"""What an act of forgetting leaves of the proofs of invoices."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.append_only import keep_append_only
from tollkeeper.storage.base import Base


class ForgottenProof(Base):
    """The digest of a billed charge's events after an act; before it, they were those that were billed."""

    __tablename__ = "forgotten_proofs"

    billed_period_id: Mapped[str] = mapped_column(ForeignKey("billed_periods.id"), primary_key=True)
    act_id: Mapped[str] = mapped_column(ForeignKey("forgetting_acts.id"), primary_key=True)
    digest: Mapped[str]


keep_append_only(ForgottenProof.__table__, "what forgetting left of a proof never changes")
