"""Price a rate card for a quantity, without any plan or customer."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from flask import Blueprint
from pydantic import BaseModel, Field, StrictBool

from tollkeeper.catalog.spec import PreviewCard
from tollkeeper.catalog.words import Currency
from tollkeeper.rating.decimals import AnyDecimal
from tollkeeper.rating.problems import CheckedModel, Problem, fields_of
from tollkeeper.rating.rate import rate
from tollkeeper.rating.statement import statement_of
from tollkeeper.rating.types import LineKind, RatingOptions
from tollkeeper.web.api.conventions import endpoint

blueprint = Blueprint("api_rating", __name__, url_prefix="/api/v1")


class PricePreviewIn(CheckedModel):
    """A rate card and the usage to price."""

    currency: Currency = Field(examples=["USD"])
    rate_card: PreviewCard
    quantity: AnyDecimal = Field(
        default=Decimal(0),
        description="The period's whole quantity so far; a flat price needs none.",
        examples=["1500"],
    )
    already_billed_quantity: AnyDecimal | None = Field(
        default=None,
        description='What earlier invoices of the period billed of it; "0" says that there was one at zero usage.',
    )
    complete: StrictBool = Field(default=True, description="False for an invoice inside the period.")
    event_count: int = Field(
        default=0, ge=0, le=10**18, description="Events behind the quantity, for an amount per event."
    )

    @classmethod
    def problems(cls, raw: Any) -> Iterator[Problem]:
        """Yield a missing quantity, unless the price does not ask for it."""
        given = fields_of(raw)
        price = fields_of(fields_of(given.get("rate_card")).get("price"))
        if given and "quantity" not in given and price.get("type") != "flat":
            yield ("quantity",), "is missing"


class RatedLineOut(BaseModel):
    """One line; `amount` is rounded to the currency's decimals, and is what counts."""

    kind: LineKind
    description: str
    quantity: str
    unit_price: str
    amount: str


class PricePreviewOut(BaseModel):
    """Lines that add up to the total."""

    lines: list[RatedLineOut]
    total: str


@blueprint.post("/rating/preview")
@endpoint("read", body=PricePreviewIn, answer=PricePreviewOut)
def preview_price(body: PricePreviewIn) -> PricePreviewOut:
    """Price a rate card for a quantity.

    Nothing is stored; the feature of the rate card need not exist.
    """
    options = RatingOptions(
        event_count=body.event_count,
        already_billed_quantity=body.already_billed_quantity,
        complete=body.complete,
    )
    rated = rate(body.rate_card, body.currency, body.quantity, options=options)
    return PricePreviewOut.model_validate(statement_of(rated, body.currency))
