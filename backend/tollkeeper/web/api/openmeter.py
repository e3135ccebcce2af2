"""What OpenMeter's clients send and expect, on the same paths as our own API.

Ingest: OpenMeter answers 204, and its Python client takes anything else for an error; whoever names OpenMeter in
its User-Agent, or asks with `Prefer: return=minimal` (RFC 7240), gets 204. Queries: the form is OpenMeter's if any
of its parameters is there (FORM), and the answer is OpenMeter's then.
"""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.orm import Session
from werkzeug.exceptions import BadRequest

from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import InvalidInput
from tollkeeper.metering.csv_cells import csv_row, csv_time
from tollkeeper.metering.event import Rejection, instant_of
from tollkeeper.metering.filters import check_filter
from tollkeeper.metering.measure import SUBJECT_PATH, Question
from tollkeeper.metering.meters import get_meter
from tollkeeper.metering.query import MeterRow
from tollkeeper.metering.stores.merged import first_and_last_us
from tollkeeper.metering.tables import Meter
from tollkeeper.metering.windows import WindowSize, windows_between, zone_of
from tollkeeper.usage.series import query_for
from tollkeeper.web.api.conventions import View, endpoint
from tollkeeper.web.api.instants import EARLIEST, Instant
from tollkeeper.web.context import snapshot, web_context

SUBJECT = "subject"
CUSTOMER = "customer_id"
FILTER_GROUP_BY = "filterGroupBy["
LISTS = ("subject", "groupBy", "filterCustomerId")
# A query is OpenMeter's if it has one of these, or filterGroupBy[...].
FORM = {*LISTS, "windowSize", "windowTimeZone", "clientId", "filterGroupBy", "advancedMeterGroupByFilters"}
SIZES = {"MINUTE": WindowSize.MINUTE, "HOUR": WindowSize.HOUR, "DAY": WindowSize.DAY, "MONTH": WindowSize.MONTH}
# OpenMeter's comparisons of texts that mean the same here.
TESTS = {"$eq": "eq", "$ne": "ne", "$in": "in", "$nin": "nin", "$exists": "exists"}
MOST_NAMED = 100
Words = Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=MOST_NAMED)]
_json = msgspec.json.Encoder(decimal_format="number")


class OpenMeterQuery(BaseModel):
    """The parameters of OpenMeter's meter query."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[Instant | None, Field(alias="from")] = None
    end: Annotated[Instant | None, Field(alias="to")] = None
    window_size: Annotated[str | None, Field(alias="windowSize", pattern="^(MINUTE|HOUR|DAY|MONTH)$")] = None
    window_time_zone: Annotated[str, Field(alias="windowTimeZone", max_length=64)] = "UTC"
    subjects: Annotated[Words, Field(alias="subject")] = []
    customers: Annotated[Words, Field(alias="filterCustomerId")] = []
    group_by: Annotated[Words, Field(alias="groupBy")] = []
    filters: Annotated[dict[str, Words], Field(alias="filterGroupBy")] = {}
    advanced: Annotated[str | None, Field(alias="advancedMeterGroupByFilters", max_length=10_000)] = None
    client_id: Annotated[str | None, Field(alias="clientId", max_length=36)] = None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Gather filterGroupBy[name]=value; make lists of what may be named once."""
        gathered: dict[str, Any] = {}
        for name, value in given.items():
            if name.startswith(FILTER_GROUP_BY) and name.endswith("]"):
                dimension = name.removeprefix(FILTER_GROUP_BY).removesuffix("]")
                gathered.setdefault("filterGroupBy", {})[dimension] = value if isinstance(value, list) else [value]
            else:
                gathered[name] = [value] if name in LISTS and isinstance(value, str) else value
        return gathered


class Asked(NamedTuple):
    """A row and the customer whom it was asked for, if customers were named."""

    customer_id: str | None
    row: MeterRow


def in_either_form(ours: View) -> View:
    """Let a view of our own query answer OpenMeter's form as well."""

    @functools.wraps(ours)
    def served(key: str) -> Any:
        return _query_as_openmeter(key=key) if _is_openmeter_form() else ours(key=key)

    return served


def refuse_or_minimal(rejected: Sequence[Rejection]) -> Response | None:
    """Answer a client that wants 204; None for one that wants to know what became of each event.

    Raises 400 if events were refused: the client has no other way to hear of it, and may send all again.
    """
    wants_none = request.headers.get("Prefer", "").replace(" ", "").lower() == "return=minimal"
    if not wants_none and "openmeter" not in request.headers.get("User-Agent", "").lower():
        return None
    if rejected:
        first = "; ".join(f"event {one.index}: {one.error}" for one in rejected[:10])
        raise BadRequest(f"{len(rejected)} events were refused, all others are stored. {first}")
    return Response(status=204)


def _is_openmeter_form() -> bool:
    return any(name in FORM or name.startswith(FILTER_GROUP_BY) for name in request.args)


@endpoint("read", query=OpenMeterQuery)
def _query_as_openmeter(key: str, query: OpenMeterQuery) -> Response:
    with snapshot() as session:
        meter = get_meter(session, key)
        start, end = _period(session, query)
        groups = _groups(meter, query)
        question = Question(meter, _filter(meter, query), tuple(_path(meter, name) for name in groups))
        size = SIZES[query.window_size] if query.window_size else None
        windows = windows_between(start, end, size, _zone_of(query.window_time_zone))
        asked: list[Asked] = []
        customers: list[str | None] = [get_customer(session, one).id for one in query.customers]
        for customer_id in customers or [None]:
            ids = None if customer_id is None else [customer_id]
            asked += [Asked(customer_id, row) for row in query_for(session, question, ids, windows) if row.event_count]
    if request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv":
        return _csv(groups, asked)
    answer: dict[str, Any] = {"data": [_describe(groups, one) for one in asked]}
    answer |= {name: request.args[name] for name in ("from", "to", "windowSize") if name in request.args}
    return Response(_json.encode(answer), mimetype="application/json")


def _period(session: Session, query: OpenMeterQuery) -> tuple[datetime, datetime]:
    """Return the period; by default from the first event to now."""
    end = query.end or web_context().clock.now()
    if query.start is not None:
        return query.start, end
    known = first_and_last_us(session)
    first = end if known is None else instant_of(known[0])
    start = max(EARLIEST, first)
    return (start, end) if start < end else (EARLIEST, end)


def _groups(meter: Meter, query: OpenMeterQuery) -> list[str]:
    groups = [name for name in dict.fromkeys(query.group_by) if name != CUSTOMER or not query.customers]
    unknown = [name for name in groups if name != SUBJECT and name not in meter.group_by]
    if unknown:
        known = ", ".join(sorted({SUBJECT, *meter.group_by}))
        raise InvalidInput.of("/groupBy", f"{unknown[0]!r} is no dimension of this meter; it has {known}")
    if query.subjects and SUBJECT not in groups:
        groups.append(SUBJECT)
    return groups


def _path(meter: Meter, name: str) -> str:
    return SUBJECT_PATH if name == SUBJECT and name not in meter.group_by else name


def _filter(meter: Meter, query: OpenMeterQuery) -> dict[str, Any]:
    filters: dict[str, dict[str, Any]] = {name: {"in": values} for name, values in query.filters.items()}
    for name, tests in _advanced(query.advanced):
        filters.setdefault(name, {}).update(tests)
    unknown = [name for name in filters if name not in meter.group_by]
    if unknown:
        raise InvalidInput.of("/filterGroupBy", f"{unknown[0]!r} is no dimension of this meter")
    if query.subjects:
        filters[SUBJECT_PATH] = {"in": query.subjects}
    return dict(check_filter(filters, "/filterGroupBy"))


def _advanced(raw: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    path = "/advancedMeterGroupByFilters"
    try:
        read = {} if raw is None else json.loads(raw, parse_constant=str)
    except (ValueError, RecursionError):
        raise InvalidInput.of(path, 'is no JSON; write it like {"model": {"$in": ["gpt-4o"]}}') from None
    if not isinstance(read, dict) or not all(isinstance(tests, dict) for tests in read.values()):
        raise InvalidInput.of(path, 'must be an object like {"model": {"$in": ["gpt-4o"]}}')
    for name, tests in read.items():
        foreign = [test for test in tests if test not in TESTS]
        if foreign:
            raise InvalidInput.of(f"{path}/{name}", f"{foreign[0]!r} is not supported; use {', '.join(TESTS)}")
        yield name, {TESTS[test]: operand for test, operand in tests.items()}


def _zone_of(name: str) -> Any:
    try:
        return zone_of(name)
    except InvalidInput as error:
        raise InvalidInput.of("/windowTimeZone", error.fields[0].message) from None


def _describe(groups: Sequence[str], asked: Asked) -> dict[str, Any]:
    row = asked.row
    values = dict(zip(groups, row.group, strict=True))
    described = {
        "value": row.quantity,
        "windowStart": row.start,
        "windowEnd": row.end,
        "subject": values.pop(SUBJECT, None),
        "groupBy": values,
    }
    return described if asked.customer_id is None else {**described, "customerId": asked.customer_id}


def _csv(groups: Sequence[str], asked: Sequence[Asked]) -> Response:
    others = [name for name in groups if name != SUBJECT]
    rows = [csv_row(["window_start", "window_end", SUBJECT, *others, "value"])]
    for one in asked:
        described = _describe(groups, one)
        cells = [described["subject"], *described["groupBy"].values()]
        rows.append(csv_row([csv_time(one.row.start), csv_time(one.row.end), *cells, one.row.quantity]))
    return Response("".join(rows), mimetype="text/csv")
