"""Tables of the credits room: wallets, grants, and the ledger of accounts, transactions and entries."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.base import Base, UtcDateTime


class GrantKind(StrEnum):
    """Where the money comes from: given away, paid to us, or paid to somebody else."""

    PROMOTIONAL = "promotional"
    PAID = "paid"
    EXTERNAL = "external"


class ActKind(StrEnum):
    """Why a transaction is in the ledger."""

    GRANT = "grant"
    DRAW = "draw"
    REVERSAL = "reversal"
    RESET = "reset"
    EXPIRY = "expiry"
    VOID = "void"


class CreditWallet(Base):
    """A customer's credit in one currency: the row is the lock of every act on it, and keeps the top-up setting."""

    __tablename__ = "credit_wallets"
    __table_args__ = (
        CheckConstraint("(top_up_threshold_minor IS NULL) = (top_up_amount_minor IS NULL)", name="top_up_is_whole"),
    )

    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    # how many transactions the ledger has of this wallet
    last_sequence: Mapped[int] = mapped_column(BigInteger)
    top_up_threshold_minor: Mapped[int | None] = mapped_column(BigInteger)
    top_up_amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    # whether an invoice charges it, or the outside does by itself
    top_up_is_charged: Mapped[bool] = mapped_column(default=False)
    # set while the balance is below the threshold and the outside was told
    top_up_due_since: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CreditGrant(Base):
    """Money granted to a customer; only `LIVING_COLUMNS` of immutable.py ever change.

    `remaining_minor` is the balance of the grant's account, kept beside the ledger so that the database refuses
    to let it go below zero.
    """

    __tablename__ = "credit_grants"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id", "currency"], ["credit_wallets.customer_id", "credit_wallets.currency"]),
        UniqueConstraint("customer_id", "key"),
        CheckConstraint("amount_minor > 0", name="amount_is_positive"),
        CheckConstraint("remaining_minor >= 0", name="never_below_zero"),
        CheckConstraint("expires_at IS NULL OR expires_at > effective_at", name="expires_after_start"),
        Index("ix_credit_grants_customer_id_currency", "customer_id", "currency"),
        # the job that expires and resets
        Index("ix_credit_grants_next_act_at", "next_act_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    currency: Mapped[str]
    key: Mapped[str | None]
    kind: Mapped[str]
    name: Mapped[str]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    priority: Mapped[int]
    effective_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reset_every: Mapped[str | None]
    time_zone: Mapped[str]
    min_rollover_minor: Mapped[int] = mapped_column(BigInteger)
    max_rollover_minor: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    remaining_minor: Mapped[int] = mapped_column(BigInteger)
    voided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_act_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CreditAccount(Base):
    """Where money is: one account per grant, and per currency one for each place that it comes from or goes to."""

    __tablename__ = "credit_accounts"

    id: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str]
    grant_id: Mapped[str | None] = mapped_column(ForeignKey("credit_grants.id"), unique=True)


class CreditTransaction(Base):
    """One act, for ever; its entries sum to zero, and `key` names the act so that it happens once.

    `sequence` counts a wallet's transactions from 1, without a gap.
    """

    __tablename__ = "credit_transactions"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id", "currency"], ["credit_wallets.customer_id", "credit_wallets.currency"]),
        UniqueConstraint("customer_id", "currency", "sequence"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    customer_id: Mapped[str]
    currency: Mapped[str]
    sequence: Mapped[int] = mapped_column(BigInteger)
    # of draws and reversals: what they are for (an invoice's id), and how much was asked for
    reference: Mapped[str | None] = mapped_column(index=True)
    asked_minor: Mapped[int | None] = mapped_column(BigInteger)
    happened_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CreditEntry(Base):
    """What a transaction adds to an account; less than nothing takes away."""

    __tablename__ = "credit_entries"
    __table_args__ = (CheckConstraint("amount_minor <> 0", name="moves_something"),)

    transaction_id: Mapped[str] = mapped_column(ForeignKey("credit_transactions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("credit_accounts.id"), index=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
