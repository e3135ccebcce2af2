"""Kong's own http-log as a way in: its log entries become the same records that the plugin makes.

The one place where the backend reads the plugin's code (docs/adr/0007): a second builder of records would
make other records, and the two captures of one request would be a conflict instead of one event.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import MOST_EVENTS, Event, Rejection, decode_events
from tollkeeper.metering.split_body import MalformedBody, split_body, weight_of
from tollkeeper.web.api.conventions import describe
from tollkeeper.web.api.event_body import event_body
from tollkeeper.web.api.events import ANSWER, answer_of
from tollkeeper.web.api.validation import read_query
from tollkeeper.web.auth import requires
from tollkeeper.web.context import transaction, web_context
from tollkeeper_kong.exchange import NotAnExchange, exchange_from_serialize
from tollkeeper_kong.record import usage_record

blueprint = Blueprint("api_capture", __name__, url_prefix="/api/v1")

LOG_ENTRY: dict[str, Any] = {"type": "object", "title": "What kong.log.serialize() returns"}
BODY_IN: dict[str, Any] = {"anyOf": [LOG_ENTRY, {"type": "array", "items": LOG_ENTRY, "maxItems": MOST_EVENTS}]}


class CaptureQuery(BaseModel):
    """Which gateway node the entries are of."""

    model_config = ConfigDict(extra="forbid")

    node: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$", description="As the plugin server's --node on that host.")
    ]


@blueprint.post("/capture/kong-log")
@requires("ingest")
@describe(body=BODY_IN, query=CaptureQuery, answer=ANSWER)
def capture_kong_log() -> Response:
    """Take what Kong's http-log plugin posts: one log entry or an array of them.

    Each becomes the record that Tollkeeper's plugin makes of the same request, with the same source and id, so
    both may run and the request counts once. Entries that are none are rejected; the rest is stored.
    """
    node = read_query(CaptureQuery).node
    with event_body() as body:
        body.held.grow(weight_of(body.json))
        try:
            entries = split_body(body.json, most=MOST_EVENTS + 1)
        except MalformedBody as error:
            raise BadRequest(f"{error.message[:1].upper()}{error.message[1:]}.") from None
        if len(entries) > MOST_EVENTS:
            raise RequestEntityTooLarge(
                f"At most {MOST_EVENTS} entries a request; set http-log's queue.max_batch_size."
            )
        events, rejected = _read_all(entries, node)
        with transaction() as session:
            accepted = accept_events(session, [event for _, event in events], now=web_context().clock.now())
    rejected += [Rejection(events[one.index][0], one.id, one.error) for one in accepted.rejected]
    return answer_of(accepted, sorted(rejected, key=lambda one: one.index))


def _read_all(entries: Sequence[bytes | msgspec.Raw], node: str) -> tuple[list[tuple[int, Event]], list[Rejection]]:
    events: list[tuple[int, Event]] = []
    rejected: list[Rejection] = []
    for index, entry in enumerate(entries):
        event, problem = _read(entry, node)
        if event is not None:
            events.append((index, event))
        else:
            rejected.append(Rejection(index, None, problem))
    return events, rejected


def _read(entry: bytes | msgspec.Raw, node: str) -> tuple[Event | None, str]:
    """Return the event of an entry, or why it is none."""
    try:
        record = usage_record(exchange_from_serialize(bytes(memoryview(entry))), node=node)
    except NotAnExchange as error:
        return None, str(error)
    decoded, unreadable = decode_events(record)
    if unreadable:
        return None, unreadable[0].error
    return decoded[0][1], ""
