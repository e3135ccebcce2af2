"""Hand out invoice numbers without a gap: the legal entity's row is the lock, held until the commit."""

from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.orm import Session

from tollkeeper.invoices.tables import LegalEntity
from tollkeeper.storage.upsert import insert_ignoring

DEFAULT_PREFIX = "INV-"


@dataclass(frozen=True, slots=True)
class Number:
    """A number as printed and its place in the sequence."""

    text: str
    sequence: int


def take_number(session: Session, legal_entity: str) -> Number:
    """Return the entity's next number.

    The UPDATE locks the row until this transaction ends: another finalization waits, and a rollback gives the
    number back. So take it last, to keep the wait short.
    """
    row = session.execute(
        update(LegalEntity)
        .where(LegalEntity.key == legal_entity)
        .values(last_number=LegalEntity.last_number + 1)
        .returning(LegalEntity.last_number, LegalEntity.number_prefix)
    ).one()
    return Number(f"{row.number_prefix}{row.last_number:06}", row.last_number)


def ensure_legal_entity(session: Session, key: str, *, name: str = "", number_prefix: str = DEFAULT_PREFIX) -> None:
    """Create the legal entity unless it is there; an existing one keeps its name, prefix and sequence."""
    row = {"key": key, "name": name or key, "number_prefix": number_prefix, "last_number": 0}
    insert_ignoring(session, LegalEntity, [row])
