"""Events in and out: POST /api/v1/events is the hot path, plain Flask with msgspec."""

from typing import Annotated, Any

import msgspec
from flask import Blueprint, Response
from pydantic import ConfigDict, Field
from sqlalchemy.orm import Session
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from tollkeeper.customers.customers import get_customer
from tollkeeper.metering.accept import Accepted
from tollkeeper.metering.event import MOST_EVENTS, Rejection, TooManyEvents, decode_events
from tollkeeper.metering.listing import EventFilter, list_events
from tollkeeper.metering.measure import Span
from tollkeeper.metering.prepare import prepare_events
from tollkeeper.metering.split_body import MalformedBody
from tollkeeper.usage.spans import spans_of_customer
from tollkeeper.web.api.conventions import describe, endpoint
from tollkeeper.web.api.event_body import BODY_TYPES, event_body
from tollkeeper.web.api.event_page import EventOut, place_after, respond_with_events
from tollkeeper.web.api.instants import EARLIEST, LATEST, Instant
from tollkeeper.web.api.openmeter import refuse_or_minimal
from tollkeeper.web.api.paging import Page, PageQuery
from tollkeeper.web.auth import requires
from tollkeeper.web.context import snapshot, web_context

blueprint = Blueprint("api_events", __name__, url_prefix="/api/v1")

Plain = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
WORD = {"type": "string", "minLength": 1, "maxLength": 256}
EVENT_IN: dict[str, Any] = {
    "type": "object",
    "title": "CloudEvent",
    "required": ["id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": WORD,
        "source": WORD,
        "type": WORD,
        "subject": {"anyOf": [WORD, {"type": "null"}], "description": "Whom it is attributed to; default anonymous."},
        "time": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        "data": {"description": "Anything; of a kong.request an object (docs/wire-contract.md)."},
    },
}
BODY_IN: dict[str, Any] = {
    "anyOf": [EVENT_IN, {"type": "array", "items": EVENT_IN, "maxItems": MOST_EVENTS}],
}
COUNT = {"type": "integer", "minimum": 0}
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["accepted", "duplicates", "rejected"],
    "properties": {
        "accepted": {**COUNT, "description": "Stored now."},
        "duplicates": {**COUNT, "description": "Stored before, and counted once."},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "id", "error"],
                "properties": {
                    "index": {**COUNT, "description": "Place in the request."},
                    "id": {"type": ["string", "null"]},
                    "error": {"type": "string", "description": "JSON pointer of the wrong field, and why."},
                },
            },
        },
    },
}
_answer = msgspec.json.Encoder()


@blueprint.post("/events")
@requires("ingest")
@describe(body=BODY_IN, body_types=BODY_TYPES, answer=ANSWER)
def accept() -> Response:
    """Take CloudEvents in.

    One event or an array, at most 10,000 or 16 MiB, gzip allowed. Each counts once by (source, id), however
    often it comes; valid events are stored even when others of the request are refused. A repeat carries the
    same time. All that is stored, and the totals, are one transaction, which small requests share. Answers 503 with
    Retry-After, nothing stored, while too much of others is being stored.
    """
    with event_body() as body:
        try:
            decoded, unreadable = decode_events(body.json, hold=body.held.grow)
        except MalformedBody as error:
            raise BadRequest(f"{error.message[:1].upper()}{error.message[1:]}.") from None
        except TooManyEvents as error:
            raise RequestEntityTooLarge(f"{error.message[:1].upper()}{error.message[1:]}.") from None
        clock = web_context().clock
        prepared = prepare_events([event for _, event in decoded], now=clock.now())
        accepted = web_context().groups.store(prepared, clock=clock.now)
    places = [place for place, _ in decoded]
    rejected = [Rejection(places[one.index], one.id, one.error) for one in accepted.rejected]
    refused = sorted(rejected + unreadable, key=lambda one: one.index)
    return refuse_or_minimal(refused) or answer_of(accepted, refused)


class EventQuery(PageQuery):
    """Which events to list."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    start: Annotated[Instant | None, Field(alias="from", description="Inclusive, RFC 3339.")] = None
    end: Annotated[Instant | None, Field(alias="to", description="Exclusive, RFC 3339.")] = None
    type: Plain | None = None
    subject: Plain | None = None
    source: Plain | None = None
    id: Plain | None = None
    customer: Annotated[Plain | None, Field(description="Id or key: what was this customer's own usage.")] = None


@blueprint.get("/events")
@endpoint("read", query=EventQuery, answer=Page[EventOut])
def list_stored_events(query: EventQuery) -> Response:
    """List events as they were received, by time, source and id."""
    with snapshot() as session:
        wanted = EventFilter(
            start=query.start,
            end=query.end,
            event_type=query.type,
            subject=query.subject,
            source=query.source,
            event_id=query.id,
            spans=_spans(session, query),
        )
        found = list_events(session, wanted, after=place_after(query.cursor), limit=query.limit + 1)
    shown = found[: query.limit]
    return respond_with_events(shown, shown[-1].place if len(found) > query.limit else None)


def _spans(session: Session, query: EventQuery) -> list[Span] | None:
    if query.customer is None:
        return None
    customer = get_customer(session, query.customer)
    start = query.start or EARLIEST
    return spans_of_customer(session, customer.id, start, max(start, query.end or LATEST))


def answer_of(accepted: Accepted, rejected: list[Rejection]) -> Response:
    """Answer what became of a request's events."""
    answer = {"accepted": accepted.accepted, "duplicates": accepted.duplicates, "rejected": rejected}
    return Response(_answer.encode(answer), mimetype="application/json")
