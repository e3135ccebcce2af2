"""Tables of the invoices room: legal entities, invoices, their lines, and the charges that were billed."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.base import Base, ExactDecimal, Json, UtcDateTime

DEFAULT_LEGAL_ENTITY = "default"
DEFAULT_PAYMENT_TERM_DAYS = 30
DEFAULT_DIGITS = 6
PREPAID_CREDIT = "prepaid_credit"
COUPON = "coupon"
COUPON_RETURN = "coupon_return"
TAX = "tax"
TOP_UP = "top_up"
# The kinds of lines that no charge is behind: the steps after the charges add them (steps.py).
STEP_KINDS = (PREPAID_CREDIT, COUPON, COUPON_RETURN, TAX, TOP_UP)
_IS_OF_A_STEP = f"kind IN ({', '.join(repr(kind) for kind in STEP_KINDS)})"


class InvoiceStatus(StrEnum):
    """The states of a document; which may follow which is in states.py."""

    DRAFT = "draft"
    ISSUED = "issued"
    PARTLY_PAID = "partly_paid"
    OVERDUE = "overdue"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


class ChargeKind(StrEnum):
    """What a billed period is: the charge itself, an interim part of it before it is due, or a later correction."""

    CHARGE = "charge"
    INTERIM = "interim"
    CREDIT = "credit"
    ADJUSTMENT = "adjustment"


class LastBelowMinimum(StrEnum):
    """What becomes of a payer's last invoice if it is below the minimum: no further one could carry it."""

    ISSUE = "issue"
    WAIVE = "waive"


class TaxMode(StrEnum):
    """Who computes the tax on a legal entity's invoices: nobody, we by our rates, or Stripe (not possible yet)."""

    NONE = "none"
    OWN = "own"
    STRIPE = "stripe"


class CreditBeforeTax(StrEnum):
    """Which prepaid credit lessens what is taxed; the other pays the total with tax."""

    NONE = "none"
    PROMOTIONAL = "promotional"
    ALL = "all"


class LegalEntity(Base):
    """Who sells; each has its own gap-free sequences of numbers, and the row is the lock of both."""

    __tablename__ = "legal_entities"

    key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    address: Mapped[dict[str, Any] | None] = mapped_column(Json)
    tax_id: Mapped[str | None]
    email: Mapped[str | None]
    payment_term_days: Mapped[int] = mapped_column(default=DEFAULT_PAYMENT_TERM_DAYS)
    minimum_totals: Mapped[dict[str, str]] = mapped_column(Json, default=dict)  # by currency, in major units
    last_below_minimum: Mapped[str] = mapped_column(default=LastBelowMinimum.ISSUE)
    sends_invoices: Mapped[bool] = mapped_column(default=False)  # by e-mail, as they are issued
    tax_mode: Mapped[str] = mapped_column(default=TaxMode.NONE)
    prices_include_tax: Mapped[bool] = mapped_column(default=False)
    credit_before_tax: Mapped[str] = mapped_column(default=CreditBeforeTax.PROMOTIONAL)
    number_prefix: Mapped[str] = mapped_column(unique=True)
    number_digits: Mapped[int] = mapped_column(default=DEFAULT_DIGITS)
    last_number: Mapped[int] = mapped_column(BigInteger, default=0)
    credit_note_prefix: Mapped[str] = mapped_column(unique=True)
    last_credit_note: Mapped[int] = mapped_column(BigInteger, default=0)


class BillingTerms(Base):
    """What was agreed with one payer; of what is null the legal entity's word holds."""

    __tablename__ = "billing_terms"

    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"), primary_key=True)
    legal_entity: Mapped[str | None] = mapped_column(ForeignKey("legal_entities.key"))
    payment_term_days: Mapped[int | None]


class Invoice(Base):
    """What a payer owes for periods of its own subscriptions and those of the customers that it pays for.

    Once it is not a draft any more, only the columns of its later life may change: `LIVING_COLUMNS` in
    immutable.py, whose triggers refuse the rest.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("legal_entity", "sequence_number"),
        CheckConstraint("(status = 'draft') = (number IS NULL)", name="issued_has_number"),
        Index("ix_invoices_customer_id_created_at", "customer_id", "created_at"),
        # the sync to Stripe and check-books walk the invoices of one status
        Index("ix_invoices_status_stripe_status", "status", "stripe_status"),
        # the job that finds what is overdue
        Index("ix_invoices_status_due_at", "status", "due_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    legal_entity: Mapped[str] = mapped_column(ForeignKey("legal_entities.key"))
    number: Mapped[str | None] = mapped_column(unique=True)
    sequence_number: Mapped[int | None] = mapped_column(BigInteger)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    buyer: Mapped[dict[str, Any]] = mapped_column(Json)
    seller: Mapped[dict[str, Any]] = mapped_column(Json)
    currency: Mapped[str]
    status: Mapped[str]
    period_start: Mapped[datetime] = mapped_column(UtcDateTime)
    period_end: Mapped[datetime] = mapped_column(UtcDateTime)
    total_minor: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    issued_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    content_digest: Mapped[str | None]

    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    voided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    amount_paid_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    # what credit notes took off before it was paid
    amount_credited_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    act_count: Mapped[int] = mapped_column(default=0)
    stripe_id: Mapped[str | None] = mapped_column(unique=True)
    stripe_status: Mapped[str | None]
    stripe_problem: Mapped[str | None]
    stripe_is_stand_in: Mapped[bool] = mapped_column(default=False)
    hosted_invoice_url: Mapped[str | None]


class InvoiceLine(Base):
    """One line of an invoice; the charge that it belongs to, with its proof, is `billed_period_id`.

    Lines of the steps after the charges (steps.py) belong to none. The proof of prepaid credit names the grant and
    the transaction of the ledger, and what was drawn before tax of which line.
    """

    __tablename__ = "invoice_lines"
    __table_args__ = (
        UniqueConstraint("invoice_id", "position"),
        CheckConstraint(f"({_IS_OF_A_STEP}) = (billed_period_id IS NULL)", name="charged_or_of_a_step"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"))
    position: Mapped[int]
    billed_period_id: Mapped[str | None] = mapped_column(ForeignKey("billed_periods.id"), index=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    plan_version_id: Mapped[str | None] = mapped_column(ForeignKey("plan_versions.id"))
    rate_card_key: Mapped[str | None]
    kind: Mapped[str]
    description: Mapped[str]
    quantity: Mapped[Decimal] = mapped_column(ExactDecimal)
    unit_price: Mapped[Decimal | None] = mapped_column(ExactDecimal)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    period_start: Mapped[datetime] = mapped_column(UtcDateTime)
    period_end: Mapped[datetime] = mapped_column(UtcDateTime)
    proof: Mapped[dict[str, Any]] = mapped_column(Json)


class BilledPeriod(Base):
    """A charge for one rate card's period, or a correction of it: the unique key is why none is billed twice.

    The name of the charge is (subscription, term, phase, rate card, start); what it was charged is the sum
    over its revisions. A row without an invoice waits for the payer's next one if it is worth something, and
    needs no document if it is worth nothing. Voiding an invoice makes its rows wait again, unless it forgives.
    `waived_at` says that it was given up, as too little for an invoice of its own when there was no next one.
    """

    __tablename__ = "billed_periods"
    __table_args__ = (
        UniqueConstraint("subscription_id", "term_id", "phase_key", "rate_card_key", "period_start", "revision"),
        Index("ix_billed_periods_invoice_id", "invoice_id"),
        # what waits for a payer's next invoice
        Index("ix_billed_periods_customer_id_invoice_id", "customer_id", "invoice_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"))
    term_id: Mapped[str] = mapped_column(ForeignKey("subscription_terms.id"))
    phase_key: Mapped[str]
    rate_card_key: Mapped[str]
    period_start: Mapped[datetime] = mapped_column(UtcDateTime)
    revision: Mapped[int]

    kind: Mapped[str]
    plan_version_id: Mapped[str] = mapped_column(ForeignKey("plan_versions.id"))
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    period_end: Mapped[datetime] = mapped_column(UtcDateTime)
    currency: Mapped[str]
    quantity: Mapped[Decimal] = mapped_column(ExactDecimal)
    event_count: Mapped[int] = mapped_column(BigInteger)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    proof: Mapped[dict[str, Any]] = mapped_column(Json)
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey("invoices.id"))
    billed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    waived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class UsageMark(Base):
    """What a subscription's billed charges rest on: how many events there were before an hour (since 1970), and
    a digest of what decides whose they are (marks.py). It only keeps things fast; it may be deleted.
    """

    __tablename__ = "usage_marks"

    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), primary_key=True)
    hour: Mapped[int]
    events: Mapped[int] = mapped_column(BigInteger)
    covers: Mapped[str]
