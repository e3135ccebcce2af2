"""Make an act that looks and then writes wait for others of its kind."""

import zlib

from sqlalchemy import text
from sqlalchemy.orm import Session

from tollkeeper.storage.upsert import is_postgresql


def wait_for_turn(session: Session, act: str) -> None:
    """Hold the named lock until the transaction ends; SQLite has one writer at a time anyway."""
    if is_postgresql(session):
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": zlib.crc32(act.encode())})
