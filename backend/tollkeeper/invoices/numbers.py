"""Hand out numbers without a gap: the legal entity's row is the lock, held until the commit."""

from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.orm import Session

from tollkeeper.invoices.tables import (
    DEFAULT_DIGITS,
    DEFAULT_LEGAL_ENTITY,
    DEFAULT_PAYMENT_TERM_DAYS,
    CreditBeforeTax,
    LastBelowMinimum,
    LegalEntity,
    TaxMode,
)
from tollkeeper.storage.upsert import insert_ignoring

DEFAULT_PREFIX, DEFAULT_CREDIT_NOTE_PREFIX = "INV-", "CN-"


@dataclass(frozen=True, slots=True)
class Number:
    """A number as printed and its place in the sequence."""

    text: str
    sequence: int


def take_number(session: Session, legal_entity: str) -> Number:
    """Return the entity's next number of an invoice, as `take_numbers` does."""
    return take_numbers(session, legal_entity, 1)[0]


def take_numbers(session: Session, legal_entity: str, count: int) -> list[Number]:
    """Return the entity's next numbers of invoices.

    The UPDATE locks the row until this transaction ends: another finalization waits, and a rollback gives the
    numbers back. So take them last, to keep the wait short, and all at once: who held the row and then waited
    for something else could wait for one who waits for the row.
    """
    row = session.execute(
        update(LegalEntity)
        .where(LegalEntity.key == legal_entity)
        .values(last_number=LegalEntity.last_number + count)
        .returning(LegalEntity.last_number, LegalEntity.number_prefix, LegalEntity.number_digits)
    ).one()
    sequence = range(row.last_number - count + 1, row.last_number + 1)
    return [_written(row.number_prefix, number, row.number_digits) for number in sequence]


def take_credit_note_number(session: Session, legal_entity: str) -> Number:
    """Return the entity's next number of a credit note; they are a sequence of their own, kept in the same way."""
    row = session.execute(
        update(LegalEntity)
        .where(LegalEntity.key == legal_entity)
        .values(last_credit_note=LegalEntity.last_credit_note + 1)
        .returning(LegalEntity.last_credit_note, LegalEntity.credit_note_prefix, LegalEntity.number_digits)
    ).one()
    return _written(row.credit_note_prefix, row.last_credit_note, row.number_digits)


def _written(prefix: str, sequence: int, digits: int) -> Number:
    return Number(f"{prefix}{sequence:0{digits}}", sequence)


def ensure_legal_entity(session: Session, key: str, *, name: str = "", number_prefix: str | None = None) -> None:
    """Create the legal entity unless it is there; an existing one keeps its name, prefix and sequences."""
    is_default = key == DEFAULT_LEGAL_ENTITY
    prefix = number_prefix or (DEFAULT_PREFIX if is_default else f"{key.upper()}-")
    row = {
        "key": key,
        "name": name or key,
        "payment_term_days": DEFAULT_PAYMENT_TERM_DAYS,
        "minimum_totals": {},
        "last_below_minimum": LastBelowMinimum.ISSUE,
        "tax_mode": TaxMode.NONE,
        "prices_include_tax": False,
        "credit_before_tax": CreditBeforeTax.PROMOTIONAL,
        "number_prefix": prefix,
        "number_digits": DEFAULT_DIGITS,
        "last_number": 0,
        "credit_note_prefix": DEFAULT_CREDIT_NOTE_PREFIX if is_default else f"{prefix}{DEFAULT_CREDIT_NOTE_PREFIX}",
        "last_credit_note": 0,
    }
    insert_ignoring(session, LegalEntity, [row])
