"""The part of a rate card that rating reads: price, conversion, discounts, commitments."""

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from tollkeeper.rating.commitments import Commitments
from tollkeeper.rating.conversion import UnitConversion
from tollkeeper.rating.discounts import Discounts
from tollkeeper.rating.dynamic import DynamicPrice
from tollkeeper.rating.flat import FlatPrice
from tollkeeper.rating.graduated import GraduatedPrice
from tollkeeper.rating.package import PackagePrice
from tollkeeper.rating.percentage import PercentagePrice
from tollkeeper.rating.problems import Problem, fields_of, validate_with
from tollkeeper.rating.unit import UnitPrice
from tollkeeper.rating.volume import VolumePrice

Price = Annotated[
    FlatPrice | UnitPrice | GraduatedPrice | VolumePrice | PackagePrice | DynamicPrice | PercentagePrice,
    Field(discriminator="type"),
]


class RatingTerms(BaseModel):
    """What a rate card charges; without a price it charges nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    price: Price | None = None
    unit_conversion: UnitConversion | None = None
    discounts: Discounts | None = None
    commitments: Commitments | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        checked: Self = validate_with(value, handler, cls.problems, "rate_card")
        return checked

    @classmethod
    def problems(cls, raw: Any) -> Iterator[Problem]:
        """Yield what is wrong between the fields of a raw rate card; subclasses add theirs."""
        card = fields_of(raw)
        if fields_of(card.get("price")).get("type") != "flat":
            return
        if card.get("commitments") is not None:
            yield ("commitments",), "a flat price has no minimum or maximum spend; remove it"
        if card.get("unit_conversion") is not None:
            yield ("unit_conversion",), "a flat price has no usage to convert; remove it"
        if fields_of(card.get("discounts")).get("usage") is not None:
            yield ("discounts", "usage"), "a flat price has no usage to give free; remove it"
