"""Tax rates over the API: make, list, end."""

from datetime import datetime
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field

from tollkeeper.catalog.words import Name
from tollkeeper.rating.decimals import Percentage, plain
from tollkeeper.taxes.rates import TaxRateDraft, create_rate, end_rate, list_rates
from tollkeeper.taxes.tables import TaxRate
from tollkeeper.web.api.conventions import endpoint
from tollkeeper.web.api.credits import Text
from tollkeeper.web.api.instants import Instant
from tollkeeper.web.api.paging import Page, PageQuery, page_of
from tollkeeper.web.context import snapshot, transaction, web_context

blueprint = Blueprint("api_taxes", __name__, url_prefix="/api/v1")


class TaxRateIn(BaseModel):
    """A rate by tax code and place; null holds for all that have no rate of their own."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Text, Field(description="Stands on invoices.", examples=["VAT"])]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="Of the customer: ISO 3166-1, two letters.")]
    percentage: Annotated[Percentage, Field(description="Per cent of the amount before tax.", examples=["19"])]
    tax_code: Annotated[Name | None, Field(description="Of rate cards; null: any.")] = None
    region: Annotated[Text | None, Field(description="`state` of the customer's address; null: any.")] = None
    valid_from: Annotated[Instant | None, Field(description="Null: since ever.")] = None
    valid_to: Annotated[Instant | None, Field(description="Exclusive; null: for ever.")] = None


class TaxRateOut(BaseModel):
    """A rate."""

    id: str
    name: str
    country: str
    percentage: str
    tax_code: str | None
    region: str | None
    valid_from: datetime | None
    valid_to: datetime | None
    created_at: datetime


class TaxRateEnd(BaseModel):
    """Until when a rate holds."""

    model_config = ConfigDict(extra="forbid")

    valid_to: Annotated[Instant | None, Field(description="Exclusive, now or later; by default now.")] = None


@blueprint.post("/tax-rates")
@endpoint("write", body=TaxRateIn, answer=TaxRateOut, status=201)
def create_tax_rate(body: TaxRateIn) -> TaxRateOut:
    """Make a tax rate for a country, a region of it, a tax code; it never changes, but may be ended."""
    with transaction() as session:
        draft = TaxRateDraft(**body.model_dump())
        return _describe(create_rate(session, draft, now=web_context().clock.now()))


@blueprint.get("/tax-rates")
@endpoint("read", query=PageQuery, answer=Page[TaxRateOut])
def list_tax_rates(query: PageQuery) -> Page[TaxRateOut]:
    """List tax rates, oldest first, ended ones too."""
    with snapshot() as session:
        rows = list_rates(session, after=query.after(), limit=query.limit + 1)
        return page_of(rows, query.limit, _describe, lambda row: row.id)


@blueprint.post("/tax-rates/<rate>/end")
@endpoint("write", body=TaxRateEnd, answer=TaxRateOut)
def end_tax_rate(rate: str, body: TaxRateEnd) -> TaxRateOut:
    """Let a tax rate hold no longer than until an instant; another one may hold from then on."""
    now = web_context().clock.now()
    with transaction() as session:
        return _describe(end_rate(session, rate, at=body.valid_to or now, now=now))


def _describe(rate: TaxRate) -> TaxRateOut:
    return TaxRateOut(
        id=rate.id,
        name=rate.name,
        country=rate.country,
        percentage=plain(rate.percentage),
        tax_code=rate.tax_code,
        region=rate.region,
        valid_from=rate.valid_from,
        valid_to=rate.valid_to,
        created_at=rate.created_at,
    )
