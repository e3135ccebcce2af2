"""A row of the event store on its way in, and what storing rows came to."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

KONG_ID_LENGTH = 32
KONG_IDS = re.compile(r"[0-9a-f]+")
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
    """What stands under a key that came again; `id_text` tells an id from the hex digits of its hash."""

    set_id: int
    id_text: str | None
    payload: bytes


def key_of_id(event_id: str) -> tuple[bytes, str | None]:
    """Return the 16 bytes that stand for an id, and the id itself unless the bytes give it back."""
    if KONG_ID.fullmatch(event_id):
        return bytes.fromhex(event_id), None
    return hashlib.blake2b(event_id.encode(), digest_size=16).digest(), event_id


def keys_of_ids(event_ids: Sequence[str]) -> tuple[list[bytes], list[str | None]]:
    """Do the same for many; when all are as Kong's, at one go."""
    if set(map(len, event_ids)) == {KONG_ID_LENGTH} and KONG_IDS.fullmatch(joined := "".join(event_ids)):
        packed = bytes.fromhex(joined)
        size = KONG_ID_LENGTH // 2
        return [packed[place : place + size] for place in range(0, len(packed), size)], [None] * len(event_ids)
    pairs = [key_of_id(event_id) for event_id in event_ids]
    return [key for key, _ in pairs], [text for _, text in pairs]


def id_of(id_key: bytes, id_text: str | None) -> str:
    """Return the id that was stored."""
    return bytes(id_key).hex() if id_text is None else id_text
