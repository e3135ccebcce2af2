"""Who sells, and on which terms: legal entities, and what was agreed with one payer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound
from tollkeeper.invoices.credit_note_tables import CreditNote
from tollkeeper.invoices.numbers import ensure_legal_entity
from tollkeeper.invoices.tables import (
    DEFAULT_LEGAL_ENTITY,
    BillingTerms,
    CreditBeforeTax,
    Invoice,
    LastBelowMinimum,
    LegalEntity,
    TaxMode,
)
from tollkeeper.money import is_currency, parse_minor
from tollkeeper.storage.locks import wait_for_turn

KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
PREFIX = re.compile(r"[A-Z0-9][A-Z0-9/_-]{0,19}")
MOST_DAYS = 365
MOST_DIGITS = 12
CHANGEABLE = (
    "name", "address", "tax_id", "email", "payment_term_days", "minimum_totals", "last_below_minimum",
    "tax_mode", "prices_include_tax", "credit_before_tax", "sends_invoices", "number_prefix", "number_digits",
    "credit_note_prefix",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for some payers: a payer's own word, else its legal entity's."""

    entities: Mapping[str, LegalEntity]
    own: Mapping[str, BillingTerms]

    def seller_of(self, payer_id: str) -> str:
        """Return the key of the legal entity that sells to a payer."""
        own = self.own.get(payer_id)
        return (own.legal_entity if own else None) or DEFAULT_LEGAL_ENTITY

    def days_of(self, payer_id: str, legal_entity: str) -> int:
        """Return in how many days a payer pays an invoice of this entity."""
        own = self.own.get(payer_id)
        if own is not None and own.payment_term_days is not None:
            return own.payment_term_days
        return self.entities[legal_entity].payment_term_days

    def minimum_minor(self, payer_id: str, currency: str) -> int:
        """Return what an invoice of a payer has to come to in order to be issued."""
        minimum = self.entities[self.seller_of(payer_id)].minimum_totals.get(currency)
        return 1 if minimum is None else max(1, parse_minor(minimum, currency, "/minimum_totals"))

    def is_last_waived(self, payer_id: str) -> bool:
        """Tell whether what is below the minimum is given up when no further invoice could carry it."""
        return self.entities[self.seller_of(payer_id)].last_below_minimum == LastBelowMinimum.WAIVE

    def sends_to(self, payer: Customer, legal_entity: str) -> bool:
        """Tell whether an invoice of this entity is sent to a payer by e-mail."""
        return self.entities[legal_entity].sends_invoices and payer.email is not None

    def due_at(self, payer_id: str, legal_entity: str, *, issued_at: datetime) -> datetime:
        """Return when an invoice is due; days of 24 hours, so that no change of a clock moves it."""
        return issued_at + timedelta(days=self.days_of(payer_id, legal_entity))


def save_legal_entity(session: Session, key: str, changes: Mapping[str, Any]) -> LegalEntity:
    """Make a legal entity, or change the named fields of one; documents that are issued keep what they say.

    A new prefix is for the numbers from now on, which go on counting. Raises InvalidInput for a wrong field and
    Conflict for a prefix that is another entity's: two documents would have one number.
    """
    if not KEY.fullmatch(key):
        raise InvalidInput.of("/key", "takes 1 to 40 of a-z, 0-9, _ and -, beginning with a letter or digit")
    unknown = set(changes) - set(CHANGEABLE)
    if unknown:
        raise InvalidInput.of(f"/{min(unknown)}", f"cannot be set; choose from {', '.join(CHANGEABLE)}")
    wait_for_turn(session, "legal_entities")
    ensure_legal_entity(session, DEFAULT_LEGAL_ENTITY)  # so that nobody takes its prefixes
    is_new = session.get(LegalEntity, key) is None
    if is_new:
        prefix = changes.get("number_prefix") or f"{key.upper()}-"
        changes = {"number_prefix": prefix, "credit_note_prefix": f"{prefix}CN-", **changes}
    _check(changes)
    _refuse_prefix_of_another(session, key, changes)
    if is_new:
        ensure_legal_entity(session, key, number_prefix=changes["number_prefix"])
    entity = session.get_one(LegalEntity, key, populate_existing=True, with_for_update=True)
    for field, value in changes.items():
        setattr(entity, field, value)
    if entity.number_prefix == entity.credit_note_prefix:
        raise InvalidInput.of("/credit_note_prefix", "has to differ from number_prefix")
    _check_tax(entity)
    session.flush()
    return entity


def _check(changes: Mapping[str, Any]) -> None:
    if "name" in changes and not changes["name"]:
        raise InvalidInput.of("/name", "must not be empty: it stands on every invoice")
    if "payment_term_days" in changes:
        check_days(changes["payment_term_days"])
    if "number_digits" in changes and not 1 <= changes["number_digits"] <= MOST_DIGITS:
        raise InvalidInput.of("/number_digits", f"has to be from 1 to {MOST_DIGITS}")
    _check_minimum(changes)
    for field in ("number_prefix", "credit_note_prefix"):
        if field in changes and not PREFIX.fullmatch(changes[field]):
            raise InvalidInput.of(f"/{field}", "takes 1 to 20 of A-Z, 0-9, /, _ and -, such as 'DE-2026-'")
        if field in changes and changes[field][-1].isdigit():
            raise InvalidInput.of(f"/{field}", "must not end in a digit: numbers could not be told apart")


def _check_tax(entity: LegalEntity) -> None:
    if entity.tax_mode not in set(TaxMode):
        raise InvalidInput.of("/tax_mode", "has to be 'none' or 'own'")
    if entity.credit_before_tax not in set(CreditBeforeTax):
        raise InvalidInput.of("/credit_before_tax", "has to be 'none', 'promotional' or 'all'")
    if entity.tax_mode == TaxMode.STRIPE:
        reason = "Stripe's total would not be that of the document that was issued here"
        raise InvalidInput.of("/tax_mode", f"'stripe' is not possible: {reason}; choose 'own' and set tax rates")
    if entity.tax_mode == TaxMode.OWN and not (entity.address or {}).get("country"):
        raise InvalidInput.of("/address/country", "is missing: a legal entity that charges tax is in a country")


def _check_minimum(changes: Mapping[str, Any]) -> None:
    for currency, amount in changes.get("minimum_totals", {}).items():
        path = f"/minimum_totals/{currency}"
        if not is_currency(currency):
            raise InvalidInput.of(path, "is no ISO 4217 currency; write it like 'EUR'")
        if parse_minor(amount, currency, path) < 0:
            raise InvalidInput.of(path, "must be 0 or more")
    if changes.get("last_below_minimum", LastBelowMinimum.ISSUE) not in set(LastBelowMinimum):
        raise InvalidInput.of("/last_below_minimum", "has to be 'issue' or 'waive'")


def check_days(days: int) -> None:
    """Raise InvalidInput unless this is a term of payment."""
    if not 0 <= days <= MOST_DAYS:
        raise InvalidInput.of("/payment_term_days", f"has to be from 0 (due at once) to {MOST_DAYS}")


def _refuse_prefix_of_another(session: Session, key: str, changes: Mapping[str, Any]) -> None:
    for field in ("number_prefix", "credit_note_prefix"):
        prefix = changes.get(field)
        if prefix is None:
            continue
        other = session.scalar(
            select(LegalEntity.key).where(
                LegalEntity.key != key,
                or_(LegalEntity.number_prefix == prefix, LegalEntity.credit_note_prefix == prefix),
            )
        )
        if other is not None:
            raise Conflict(f"/{field}: {prefix!r} is the prefix of legal entity {other!r}; choose another")
        if any(_has_numbers(session, document, key, prefix) for document in (Invoice, CreditNote)):
            raise Conflict(f"/{field}: another legal entity has numbers that begin with {prefix!r}; choose another")


def _has_numbers(session: Session, document: type[Invoice | CreditNote], key: str, prefix: str) -> bool:
    """Tell whether a document of another entity, which may have had another prefix then, has such a number."""
    used = select(document.id).where(document.legal_entity != key, document.number.startswith(prefix, autoescape=True))
    return session.scalar(used.limit(1)) is not None


def get_legal_entity(session: Session, key: str) -> LegalEntity:
    """Return the legal entity; the default one is there from the start. Raises NotFound."""
    entity = session.get(LegalEntity, key)
    if entity is None:
        raise NotFound(f"there is no legal entity {key!r}")
    return entity


def list_legal_entities(session: Session) -> Sequence[LegalEntity]:
    """Return all legal entities by key."""
    return session.scalars(select(LegalEntity).order_by(LegalEntity.key)).all()


def set_terms(
    session: Session, key_or_id: str, *, legal_entity: str | None, payment_term_days: int | None
) -> BillingTerms:
    """Say who sells to a payer, and in how many days it pays; null leaves it to the legal entity.

    It holds for invoices that are drafted from now on.
    """
    customer = get_customer(session, key_or_id)
    if payment_term_days is not None:
        check_days(payment_term_days)
    if legal_entity is not None and session.get(LegalEntity, legal_entity) is None:
        raise InvalidInput.of("/legal_entity", f"there is no legal entity {legal_entity!r}; make it first")
    terms = session.get(BillingTerms, customer.id) or BillingTerms(customer_id=customer.id)
    terms.legal_entity = legal_entity
    terms.payment_term_days = payment_term_days
    session.add(terms)
    session.flush()
    return terms


def find_terms(session: Session, customer_id: str) -> BillingTerms | None:
    """Return what was agreed with a payer, or None if nothing was."""
    return session.get(BillingTerms, customer_id)


def read_terms(session: Session, payer_ids: Sequence[str]) -> Terms:
    """Return what holds for these payers now; makes the default legal entity if it is not there."""
    ensure_legal_entity(session, DEFAULT_LEGAL_ENTITY)
    own = session.scalars(select(BillingTerms).where(BillingTerms.customer_id.in_(payer_ids)))
    return Terms({one.key: one for one in list_legal_entities(session)}, {one.customer_id: one for one in own})


def describe_seller(entity: LegalEntity) -> dict[str, Any]:
    """Copy who sells: the document keeps what was true when it was issued; of tax only if it charges any."""
    told = {
        "key": entity.key,
        "name": entity.name,
        "address": entity.address,
        "tax_id": entity.tax_id,
        "email": entity.email,
    }
    if entity.tax_mode == TaxMode.NONE:
        return told
    return told | {
        "tax_mode": entity.tax_mode,
        "prices_include_tax": entity.prices_include_tax,
        "credit_before_tax": entity.credit_before_tax,
    }


def describe_buyer(customer: Customer) -> dict[str, Any]:
    """Copy who buys: the document keeps what was true when it was issued."""
    return {
        "key": customer.key,
        "name": customer.name,
        "email": customer.email,
        "time_zone": customer.time_zone,
        "address": customer.address,
        "tax_ids": customer.tax_ids,
        "tax_exemption": customer.tax_exemption,
    }
