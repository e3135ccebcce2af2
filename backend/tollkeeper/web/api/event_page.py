"""Stored events in pages: shape and cursor."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from flask import Response
from pydantic import BaseModel, Field

from tollkeeper.errors import InvalidInput
from tollkeeper.metering.listing import EventPlace, ListedEvent
from tollkeeper.web.api.paging import decode_cursor, encode_cursor

_json = msgspec.json.Encoder(decimal_format="number")


class EventOut(BaseModel):
    """An event as it was received."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    data: Any
    reason: Annotated[str | None, Field(description="Why the meter does not count it.")] = None


def respond_with_events(events: Sequence[ListedEvent], next_place: EventPlace | None) -> Response:
    """Answer a page of events; numbers with a fraction keep every digit, which pydantic's JSON would make texts."""
    page = {
        "items": [_describe(event) for event in events],
        "next_cursor": None if next_place is None else _encode_place(next_place),
    }
    return Response(_json.encode(page), mimetype="application/json")


def _describe(event: ListedEvent) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "data": event.data,
        "reason": event.reason,
    }


def _encode_place(place: EventPlace) -> str:
    return encode_cursor(str(place.time_us), str(place.source_id), place.id_key.hex())


def place_after(cursor: str | None) -> EventPlace | None:
    """Read a cursor of a list of events; raises InvalidInput for anything else."""
    if cursor is None:
        return None
    time_us, source_id, id_key = decode_cursor(cursor, 3)
    try:
        place = EventPlace(int(time_us), int(source_id), bytes.fromhex(id_key))
    except ValueError:
        place = EventPlace(1 << 64, 0, b"")
    if abs(place.time_us) >= 1 << 62 or abs(place.source_id) >= 1 << 31:
        raise InvalidInput.of("/cursor", "is no cursor of this list; leave it out to start from the first page")
    return place
