"""What gateway nodes call: the verdict feed (long poll), heartbeats; and the explanation of one verdict."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from flask import Blueprint, Flask, Response, current_app
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tollkeeper.clock import SystemClock
from tollkeeper.entitlements.explain import explain_verdict
from tollkeeper.entitlements.feed import verdict_feed
from tollkeeper.entitlements.nodes import Heartbeat, record_heartbeat
from tollkeeper.entitlements.waiting import FeedWatch
from tollkeeper.web.api.conventions import describe, endpoint
from tollkeeper.web.api.validation import read_query
from tollkeeper.web.auth import requires
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_gateway", __name__, url_prefix="/api/v1/gateway")

LONGEST_WAIT_SECONDS = 30
# Each waiting poll holds a thread of the server (docs/quotas.md, Sizing); the rest must be left for events.
MOST_WAITING = 48

LIMIT: dict[str, Any] = {
    "type": "object",
    "required": ["id", "feature", "scope", "kind", "state", "reason", "code", "limit", "used", "hard", "status"],
    "properties": {
        "id": {"type": "string"},
        "feature": {"type": "string"},
        "scope": {
            "type": "object",
            "description": "What traffic it is about; an empty list means all.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "kind": {"enum": ["requests", "tokens", "amount"]},
        "state": {"enum": ["allow", "warn", "deny"]},
        "reason": {"type": "string"},
        "code": {"type": "string"},
        "limit": {"type": "string"},
        "used": {"type": "string", "description": "As of the events stored."},
        "resets_at": {"type": ["string", "null"], "format": "date-time"},
        "hard": {"type": "boolean"},
        "status": {"type": "integer"},
    },
}
SUBJECT: dict[str, Any] = {
    "type": "object",
    "required": ["subject", "customer", "limits"],
    "properties": {
        "subject": {"type": "string"},
        "customer": {"type": "string"},
        "limits": {"type": "array", "items": LIMIT},
    },
}
FEED: dict[str, Any] = {
    "type": "object",
    "required": ["cursor", "full", "generated_at", "subjects", "removed"],
    "properties": {
        "cursor": {"type": "string", "description": "Opaque; give it next time."},
        "full": {"type": "boolean", "description": "Forget what is not in here."},
        "generated_at": {"type": "string", "format": "date-time"},
        "subjects": {"type": "array", "items": SUBJECT},
        "removed": {"type": "array", "items": {"type": "string"}},
    },
}
EXPLANATION: dict[str, Any] = {
    **SUBJECT,
    "properties": {**SUBJECT["properties"], "entitlements": {"type": "array", "items": {"type": "object"}}},
}
_encode = msgspec.json.Encoder().encode


class FeedQuery(BaseModel):
    """Where the node is, and how long it waits for news."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[str | None, Field(max_length=100, description="Of the last answer; absent: everything.")] = None
    wait: Annotated[
        float, Field(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait when nothing has changed.")
    ] = 0


@blueprint.get("/verdicts")
@requires("gateway")
@describe(query=FeedQuery, answer=FEED)
def follow() -> Response:
    """Follow the verdicts.

    Answers what changed since the cursor as soon as something did, or after `wait` seconds that nothing has.
    Without a cursor, or with one that is unknown or too old, everything (`full`). No database connection is
    held while waiting.
    """
    query = read_query(FeedQuery)
    if query.cursor is not None and query.wait > 0:
        feed_watch(current_app).wait_for_change(web_context().database, query.cursor, seconds=query.wait)
    with snapshot() as session:
        feed = verdict_feed(session, query.cursor)
    return Response(_encode(feed.as_json(now=web_context().clock.now())), mimetype="application/json")


@blueprint.get("/verdicts/<path:subject>")
@requires("read", "gateway")
@describe(answer=EXPLANATION)
def explain(subject: str) -> Response:
    """Explain the verdict on one subject.

    Its limits as nodes are told them, and the entitlements, periods and usage by customer that they come from,
    counted now.
    """
    with snapshot() as session:
        explanation = explain_verdict(session, subject, now=web_context().clock.now())
    return Response(_encode(explanation), mimetype="application/json")


class SpoolIn(BaseModel):
    """What waits on the node's disk."""

    records: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    oldest_age_seconds: Annotated[float | None, Field(ge=0)] = None


class HeartbeatIn(BaseModel):
    """A node's report; counters are since the node started, unknown ones are kept."""

    model_config = ConfigDict(extra="ignore")

    node: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[str, Field(max_length=100)]
    sent_at: AwareDatetime
    enforce: Annotated[str, Field(max_length=20, description="off, shadow or on")]
    verdict_cursor: Annotated[str | None, Field(max_length=100)] = None
    verdict_age_seconds: Annotated[float | None, Field(ge=0)] = None
    spool: SpoolIn
    counters: Annotated[dict[str, int], Field(max_length=100)]


class HeartbeatOut(BaseModel):
    """The backend's time, and what it finds wrong with the node."""

    server_time: datetime
    warnings: list[str]


@blueprint.post("/heartbeat")
@endpoint("gateway", body=HeartbeatIn, answer=HeartbeatOut)
def heartbeat(body: HeartbeatIn) -> HeartbeatOut:
    """Report that a node lives, what waits in its spool and what it counted."""
    # Machine time, not the tenant's: a test clock moves billing, and the node's own clock is not moved by it.
    now = SystemClock().now()
    beat = Heartbeat(
        node=body.node,
        version=body.version,
        sent_at=body.sent_at,
        enforce=body.enforce,
        verdict_cursor=body.verdict_cursor,
        verdict_age_seconds=body.verdict_age_seconds,
        spool=body.spool.model_dump(),
        counters=body.counters,
    )
    with transaction() as session:
        warnings = record_heartbeat(session, beat, now=now)
    return HeartbeatOut(server_time=now, warnings=warnings)


def feed_watch(app: Flask) -> FeedWatch:
    """Return what the application's long polls wait on."""
    watch = app.extensions.setdefault("tollkeeper.feed_watch", FeedWatch(MOST_WAITING))
    assert isinstance(watch, FeedWatch)
    return watch
