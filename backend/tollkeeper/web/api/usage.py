"""Usage of a customer by feature, over the API."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.customers.customers import family_of, get_customer
from tollkeeper.metering.windows import WindowSize, windows_between, zone_of
from tollkeeper.usage.event_range import event_range_of
from tollkeeper.usage.series import family_usage, series_of
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.context import snapshot

blueprint = Blueprint("api_usage", __name__, url_prefix="/api/v1")

FeatureKey = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]


class UsageQuery(BaseModel):
    """A feature and a period."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    feature: FeatureKey
    start: Annotated[Instant, Field(alias="from", description="Inclusive, RFC 3339.")]
    end: Annotated[Instant, Field(alias="to", description="Exclusive, RFC 3339.")]


class SeriesQuery(UsageQuery):
    """A feature, a period and how to cut it."""

    window: WindowSize = WindowSize.DAY
    time_zone: Annotated[str | None, Field(max_length=64, description="Default: the customer's.")] = None


class MemberUsageOut(BaseModel):
    """One customer's own usage."""

    customer_id: str
    customer_key: str
    quantity: str
    event_count: int


class UsageOut(BaseModel):
    """What a customer and those whom it pays for used of a feature."""

    feature: str
    quantity: str
    event_count: int
    members: list[MemberUsageOut]


class SeriesPointOut(BaseModel):
    """One window."""

    model_config = ConfigDict(serialize_by_alias=True)

    start: Annotated[datetime, Field(serialization_alias="from")]
    end: Annotated[datetime, Field(serialization_alias="to")]
    quantity: str


class SeriesOut(BaseModel):
    """A feature's usage over time by a customer and those whom it pays for."""

    feature: str
    points: list[SeriesPointOut]


class ProofOut(BaseModel):
    """The events behind a customer's own usage of a feature."""

    feature: str
    first_time: datetime | None
    last_time: datetime | None
    count: int
    digest: Annotated[str, Field(description="SHA-256 over the events (docs/metering.md).")]


@blueprint.get("/customers/<customer>/usage")
@endpoint("read", query=UsageQuery, answer=UsageOut)
def show_usage(customer: str, query: UsageQuery) -> UsageOut:
    """Show what a customer and those whom it pays for used of a feature, each and together."""
    with snapshot() as session:
        payer = get_customer(session, customer)
        family = family_usage(session, payer.id, query.feature, query.start, query.end)
    return UsageOut(
        feature=query.feature,
        quantity=_plain(family.total.quantity),
        event_count=family.total.event_count,
        members=[
            MemberUsageOut(
                customer_id=member.id,
                customer_key=member.key,
                quantity=_plain(usage.quantity),
                event_count=usage.event_count,
            )
            for member, usage in family.members
        ],
    )


@blueprint.get("/customers/<customer>/usage/series")
@endpoint("read", query=SeriesQuery, answer=SeriesOut)
def show_series(customer: str, query: SeriesQuery) -> SeriesOut:
    """Show a feature's usage per window, in the customer's time zone."""
    with snapshot() as session:
        payer = get_customer(session, customer)
        zone = zone_of(query.time_zone or payer.time_zone)
        windows = windows_between(query.start, query.end, query.window, zone)
        series = series_of(session, [one.id for one in family_of(session, payer.id)], [query.feature], windows)[0]
    return SeriesOut(
        feature=query.feature,
        points=[
            SeriesPointOut(start=window.start, end=window.end, quantity=_plain(quantity))
            for window, quantity in zip(windows, series.quantities, strict=True)
        ],
    )


@blueprint.get("/customers/<customer>/usage/proof")
@endpoint("read", query=UsageQuery, answer=ProofOut)
def show_proof(customer: str, query: UsageQuery) -> ProofOut:
    """Show range, count and digest of the events behind a customer's own usage of a feature."""
    with snapshot() as session:
        owner = get_customer(session, customer)
        proof = event_range_of(session, owner.id, query.feature, query.start, query.end)
    return ProofOut(feature=query.feature, **asdict(proof))


def _plain(quantity: Decimal) -> str:
    return format(quantity.normalize() if quantity else Decimal(0), "f")
