"""The audit log: who changed what, and when. It is written in the transaction of the change and never altered.

What was sent is not kept: it may hold identifiers of persons or secrets. An entry names the fields that were given; the
thing itself says what it is now, and documents, prices and ledgers keep what they were.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.access.tables import AuditEntry
from tollkeeper.storage.ids import new_id

MOST_CHARACTERS = 500


class ActorKind(StrEnum):
    """Through which door somebody came."""

    API_KEY = "api_key"
    ADMIN = "admin"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the id and the name that they have now, an API key's label or a person's name."""

    kind: ActorKind
    id: str
    name: str


def record_act(
    session: Session, actor: Actor, act: str, *, target: str, fields: Iterable[str] = (), now: datetime
) -> AuditEntry:
    """Write down one act: `act` names the kind of change, `target` what it was done to."""
    entry = AuditEntry(
        id=new_id("aud"),
        at=now,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name[:MOST_CHARACTERS],
        act=act[:MOST_CHARACTERS],
        target=target[:MOST_CHARACTERS],
        fields=sorted({field[:MOST_CHARACTERS] for field in fields})[:100],
    )
    session.add(entry)
    session.flush()
    return entry


def list_acts(
    session: Session,
    *,
    before: str | None = None,
    actor: str | None = None,
    target: str | None = None,
    limit: int = 100,
) -> Sequence[AuditEntry]:
    """Return acts, newest first, those before the id `before`; by an actor's id or name, or on exactly one target."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    if actor is not None:
        query = query.where((AuditEntry.actor_id == actor) | (AuditEntry.actor_name == actor))
    if target is not None:
        query = query.where(AuditEntry.target == target)
    return session.scalars(query).all()
