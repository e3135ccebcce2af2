"""Put a notification into the outbox, in the transaction that makes it true."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tollkeeper.notifications.tables import Notification
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.upsert import insert_ignoring


def enqueue(session: Session, kind: str, payload: Mapping[str, Any], *, key: str, now: datetime) -> None:
    """Remember to tell, once per key: a repeat changes nothing."""
    row = {
        "id": new_id("msg"),
        "key": key,
        "kind": kind,
        "payload": dict(payload),
        "happened_at": now,
        "is_spread": False,
    }
    insert_ignoring(session, Notification, [row])
