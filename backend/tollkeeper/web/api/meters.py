"""Meters over the API: define, list, query as JSON or CSV, and see what they cannot count."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import family_of, get_customer
from tollkeeper.errors import InvalidInput
from tollkeeper.metering.csv_cells import csv_row, csv_time
from tollkeeper.metering.filters import check_filter
from tollkeeper.metering.listing import list_invalid_events
from tollkeeper.metering.measure import Question
from tollkeeper.metering.meters import Aggregation, MeterDraft, create_meter, get_meter, list_meters
from tollkeeper.metering.preview import LATEST, Effect, preview_meter
from tollkeeper.metering.query import MeterRow
from tollkeeper.metering.tables import Meter
from tollkeeper.metering.windows import WindowSize, windows_between, zone_of
from tollkeeper.usage.series import query_for
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.event_page import EventOut, place_after, respond_with_events
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.api.openmeter import in_either_form
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_meters", __name__, url_prefix="/api/v1")

Path = Annotated[str, Field(min_length=1, max_length=256)]
Plain = Annotated[str, Field(pattern=r"^[^\x00]*$", min_length=1, max_length=256)]


class MeterIn(BaseModel):
    """A meter to be defined."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", examples=["llm_tokens"])]
    name: Annotated[Plain | None, Field(description="Default: the key.")] = None
    event_type: Annotated[Plain, Field(examples=["kong.request"])]
    aggregation: Aggregation
    value: Annotated[
        Path | None, Field(description="Path in `data`, or several with ' + ' between.", examples=["llm.output_tokens"])
    ] = None
    group_by: Annotated[dict[str, Path], Field(description="Name of a dimension: its path in `data`.")] = {}
    filter: Annotated[dict[str, dict[str, Any]], Field(description='{"status": {"lt": "400"}}; all must hold.')] = {}


class MeterOut(BaseModel):
    """A meter."""

    key: str
    name: str
    event_type: str
    aggregation: Aggregation
    value: str | None
    group_by: dict[str, str]
    filter: dict[str, Any]
    is_built_in: bool
    created_at: datetime


class MeterPageQuery(PageQuery):
    """Which meters to list."""


class MeterQuery(BaseModel):
    """What to ask a meter."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    start: Annotated[Instant, Field(alias="from", description="Inclusive, RFC 3339.")]
    end: Annotated[Instant, Field(alias="to", description="Exclusive, RFC 3339.")]
    window: Annotated[WindowSize | None, Field(description="Absent: the whole as one.")] = None
    time_zone: Annotated[str, Field(max_length=64, description="Whose days and months.")] = "UTC"
    group_by: Annotated[list[Path], Field(max_length=5, description="A dimension of the meter; repeat it.")] = []
    filter: Annotated[str | None, Field(max_length=10_000, description='JSON: {"status": {"lt": "400"}}.')] = None
    customer: Annotated[
        Plain | None, Field(description="Id or key: this customer and those whom it pays for. Absent: everybody.")
    ] = None
    format: Annotated[str, Field(pattern="^(json|csv)$", description="Or ask by Accept: text/csv.")] = "json"


class QueryRowOut(BaseModel):
    """One number."""

    model_config = ConfigDict(serialize_by_alias=True)

    start: Annotated[datetime, Field(serialization_alias="from")]
    end: Annotated[datetime, Field(serialization_alias="to")]
    group: dict[str, str | None]
    value: Annotated[str | None, Field(description="Exact decimal; null where no event makes no number.")]
    event_count: int


class QueryOut(BaseModel):
    """The answer of a meter, by window and group."""

    meter: str
    rows: list[QueryRowOut]


class MisfitOut(BaseModel):
    """A field of the definition that did not fit some events."""

    field: Annotated[str, Field(description="JSON pointer into the definition.", examples=["/value"])]
    path: Annotated[str, Field(description="The path in `data` that it leads to.")]
    reason: str
    effect: Annotated[Effect, Field(description="Whether such events are left out, or counted without the field.")]
    events: int


class MeterPreviewOut(BaseModel):
    """What a meter would make of the latest events of its type; `misfits` may overlap."""

    examined: Annotated[int, Field(description=f"Events that were looked at: the last {LATEST} at most.")]
    matched: Annotated[int, Field(description="How many of them count.")]
    value: Annotated[str | None, Field(description="Exact decimal over those; null where no event makes no number.")]
    first: Annotated[datetime | None, Field(description="Time of the first event that was looked at.")]
    last: datetime | None
    misfits: list[MisfitOut]


class InvalidQuery(PageQuery):
    """Where to look for events that a meter cannot count."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    start: Annotated[Instant, Field(alias="from", description="Inclusive, RFC 3339.")]
    end: Annotated[Instant, Field(alias="to", description="Exclusive, RFC 3339.")]


@blueprint.get("/meters")
@endpoint("read", query=MeterPageQuery, answer=Page[MeterOut])
def list_all_meters(query: MeterPageQuery) -> Page[MeterOut]:
    """List meters by key, the built-in ones too."""
    with snapshot() as session:
        rows = list_meters(session, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, _describe, lambda meter: meter.key)


@blueprint.post("/meters")
@endpoint("write", body=MeterIn, answer=MeterOut, status=201)
def define_meter(body: MeterIn) -> MeterOut:
    """Define a meter; it counts the events that are stored already, too. A meter never changes."""
    with transaction() as session:
        return _describe(create_meter(session, _draft(body), now=web_context().clock.now()))


@blueprint.post("/meters/preview")
@endpoint("read", body=MeterIn, answer=MeterPreviewOut)
def preview_a_meter(body: MeterIn) -> MeterPreviewOut:
    """Count the last 100 events of the type by a meter to be, and say which fields did not fit, how often.

    Nothing is stored, and the key may be taken.
    """
    with snapshot() as session:
        preview = preview_meter(session, _draft(body), now=web_context().clock.now())
    return MeterPreviewOut(
        examined=preview.examined,
        matched=preview.matched,
        value=_plain(preview.value),
        first=preview.first,
        last=preview.last,
        misfits=[MisfitOut(**misfit._asdict(), events=events) for misfit, events in preview.misfits],
    )


@blueprint.get("/meters/<key>")
@endpoint("read", answer=MeterOut)
def show_meter(key: str) -> MeterOut:
    """Show a meter."""
    with snapshot() as session:
        return _describe(get_meter(session, key))


@blueprint.get("/meters/<key>/query")
@in_either_form
@endpoint("read", query=MeterQuery, answer=QueryOut)
def query_a_meter(key: str, query: MeterQuery) -> QueryOut | Response:
    """Ask a meter for numbers, per window and group; as CSV with `format=csv` or Accept: text/csv.

    A query with parameters of OpenMeter (windowSize, groupBy ...) is answered in OpenMeter's shape.
    """
    windows = windows_between(query.start, query.end, query.window, zone_of(query.time_zone))
    with snapshot() as session:
        question = Question(get_meter(session, key), _filter(query.filter), tuple(dict.fromkeys(query.group_by)))
        rows = query_for(session, question, _customer_ids(session, query.customer), windows)
    wants_csv = request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv"
    if query.format == "csv" or wants_csv:
        return _csv(question.group_by, rows)
    return QueryOut(meter=key, rows=[_describe_row(question.group_by, row) for row in rows])


@blueprint.get("/meters/<key>/invalid-events")
@endpoint("read", query=InvalidQuery, answer=Page[EventOut])
def list_events_that_a_meter_cannot_count(key: str, query: InvalidQuery) -> Response:
    """List events that the meter should count and cannot, each with the reason.

    A page may be short and still have a next one: follow `next_cursor` to the end.
    """
    with snapshot() as session:
        found, place = list_invalid_events(
            session,
            get_meter(session, key),
            query.start,
            query.end,
            after=place_after(query.cursor),
            limit=query.limit,
        )
    return respond_with_events(found, place)


def _draft(body: MeterIn) -> MeterDraft:
    return MeterDraft(**{**dict(body), "name": body.name or body.key})


def _describe(meter: Meter) -> MeterOut:
    return MeterOut.model_validate(meter, from_attributes=True)


def _filter(raw: str | None) -> dict[str, Any]:
    if raw is None:
        return {}
    try:
        read = json.loads(raw, parse_constant=str)
    except (ValueError, RecursionError):
        raise InvalidInput.of("/filter", 'is no JSON; write it like {"status": {"lt": "400"}}') from None
    return dict(check_filter(read))


def _customer_ids(session: Session, customer: str | None) -> list[str] | None:
    if customer is None:
        return None
    return [one.id for one in family_of(session, get_customer(session, customer).id)]


def _describe_row(group_by: tuple[str, ...], row: MeterRow) -> QueryRowOut:
    return QueryRowOut(
        start=row.start,
        end=row.end,
        group=dict(zip(group_by, row.group, strict=True)),
        value=_plain(row.quantity),
        event_count=row.event_count,
    )


def _csv(group_by: tuple[str, ...], rows: list[MeterRow]) -> Response:
    written = [csv_row(["from", "to", *group_by, "value", "event_count"])]
    for row in rows:
        # no text: a number below zero begins with a minus sign
        value = None if row.quantity is None else Decimal(_plain(row.quantity) or 0)
        written.append(csv_row([csv_time(row.start), csv_time(row.end), *row.group, value, row.event_count]))
    return Response("".join(written), mimetype="text/csv")


def _plain(quantity: Decimal | None) -> str | None:
    return None if quantity is None else format(quantity.normalize() if quantity else Decimal(0), "f")
