"""A row of the event store on its way in, and what storing rows came to."""

import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

KONG_ID = re.compile(r"[0-9a-f]{32}")


class EventKey(NamedTuple):
    """The unique key of the event store."""

    time_us: int
    source_id: int
    id_key: bytes


class EventRow(NamedTuple):
    """The columns of `events`, in order."""

    time_us: int
    source_id: int
    id_key: bytes
    set_id: int
    id_text: str | None
    payload: bytes

    @property
    def key(self) -> EventKey:
        """Return the unique key."""
        return EventKey(self.time_us, self.source_id, self.id_key)


@dataclass(frozen=True, slots=True)
class StoredAlready:
    """What stands under a key that came again."""

    set_id: int
    payload: bytes


def key_of_id(event_id: str) -> tuple[bytes, str | None]:
    """Return the 16 bytes that stand for an id, and the id itself unless the bytes give it back."""
    if KONG_ID.fullmatch(event_id):
        return bytes.fromhex(event_id), None
    return hashlib.blake2b(event_id.encode(), digest_size=16).digest(), event_id


def id_of(id_key: bytes, id_text: str | None) -> str:
    """Return the id that was stored."""
    return bytes(id_key).hex() if id_text is None else id_text
