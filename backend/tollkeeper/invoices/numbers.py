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
    """Return the entity's next number, as `take_numbers` does."""
    return take_numbers(session, legal_entity, 1)[0]


def take_numbers(session: Session, legal_entity: str, count: int) -> list[Number]:
    """Return the entity's next numbers.

    The UPDATE locks the row until this transaction ends: another finalization waits, and a rollback gives the
    numbers back. So take them last, to keep the wait short, and all at once: who held the row and then waited
    for something else could wait for one who waits for the row.
    """
    row = session.execute(
        update(LegalEntity)
        .where(LegalEntity.key == legal_entity)
        .values(last_number=LegalEntity.last_number + count)
        .returning(LegalEntity.last_number, LegalEntity.number_prefix)
    ).one()
    first = row.last_number - count + 1
    return [Number(f"{row.number_prefix}{number:06}", number) for number in range(first, row.last_number + 1)]


def ensure_legal_entity(session: Session, key: str, *, name: str = "", number_prefix: str = DEFAULT_PREFIX) -> None:
    """Create the legal entity unless it is there; an existing one keeps its name, prefix and sequence."""
    row = {"key": key, "name": name or key, "number_prefix": number_prefix, "last_number": 0}
    insert_ignoring(session, LegalEntity, [row])
