"""Batches and acts of forgetting take turns: no event is stored under a dimension set that is being taken away."""

import zlib

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tollkeeper.metering.keeping_tables import ForgettingAct
from tollkeeper.storage.upsert import is_postgresql

TURN = zlib.crc32(b"forget_person")


def count_acts(session: Session) -> int:
    """Return how many acts of forgetting there were; until this transaction ends there will be no further one.

    What a process remembers of dimension sets is good as long as the number is the same. Batches share the turn.
    """
    if is_postgresql(session):
        session.execute(text("SELECT pg_advisory_xact_lock_shared(:turn)"), {"turn": TURN})
    return session.scalar(select(func.count()).select_from(ForgettingAct)) or 0


def wait_for_batches(session: Session) -> None:
    """Wait for batches that are being stored, and hold up further ones until this transaction ends."""
    if is_postgresql(session):
        session.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": TURN})
