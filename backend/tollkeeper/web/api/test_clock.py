"""The test clock over the API: what time it is for the tenant, and moving it forward."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from flask import Blueprint, Response, current_app
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.errors import NotAllowed
from tollkeeper.web.api.conventions import describe, endpoint
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.api.validation import read_body
from tollkeeper.web.auth import requires
from tollkeeper.web.context import web_context

blueprint = Blueprint("api_test_clock", __name__, url_prefix="/api/v1/test-clock")

# app.py puts the function here when the server was started with the test clock.
EXTENSION = "tollkeeper.advance_clock"
Advance = Callable[[datetime], int]


class AdvanceIn(BaseModel):
    """Where to move the time."""

    model_config = ConfigDict(extra="forbid")

    to: Annotated[Instant, Field(description="An instant after the tenant's current time.")]


class ClockOut(BaseModel):
    """The tenant's time."""

    now: datetime


class AdvancedOut(ClockOut):
    """The tenant's time after the move, and how many instants something fell due at on the way."""

    steps: int


@blueprint.get("")
@endpoint("read", answer=ClockOut)
def show_time() -> ClockOut:
    """Show the tenant's time; without a test clock it is the server's."""
    return ClockOut(now=web_context().clock.now())


@blueprint.post("/advance")
@requires("admin")
@describe(body=AdvanceIn, answer=AdvancedOut)
def advance_time() -> Response:
    """Move the tenant's time forward and run what falls due on the way, in order.

    Refused unless the server was started with TOLLKEEPER_TEST_CLOCK=1. Answers when all is done. A repeat is
    refused, as time never goes back.
    """
    # No `endpoint`: its Idempotency-Key would hold a transaction around the jobs, which have their own.
    body = read_body(AdvanceIn)
    advance: Advance | None = current_app.extensions.get(EXTENSION)
    if advance is None:
        raise NotAllowed("the test clock is closed: start the server with TOLLKEEPER_TEST_CLOCK=1")
    steps = advance(body.to.astimezone(UTC))
    told = AdvancedOut(now=web_context().clock.now(), steps=steps)
    return Response(told.model_dump_json(), mimetype="application/json")
