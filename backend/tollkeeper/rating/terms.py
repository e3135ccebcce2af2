"""The part of a rate card that rating reads: price, conversion, discounts, commitments."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from tollkeeper.rating.commitments import Commitments
from tollkeeper.rating.conversion import UnitConversion
from tollkeeper.rating.discounts import Discounts
from tollkeeper.rating.dynamic import DynamicPrice
from tollkeeper.rating.flat import FlatPrice
from tollkeeper.rating.graduated import GraduatedPrice
from tollkeeper.rating.package import PackagePrice
from tollkeeper.rating.percentage import PercentagePrice
from tollkeeper.rating.problems import CheckedModel, Problem, fields_of
from tollkeeper.rating.unit import UnitPrice
from tollkeeper.rating.volume import VolumePrice

Price = Annotated[
    FlatPrice | UnitPrice | GraduatedPrice | VolumePrice | PackagePrice | DynamicPrice | PercentagePrice,
    Field(discriminator="type"),
]


class RatingTerms(CheckedModel):
    """What a rate card charges; without a price it charges nothing."""

    price: Price | None = None
    unit_conversion: UnitConversion | None = None
    discounts: Discounts | None = None
    commitments: Commitments | None = None

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
        # A stored card holds the default, 0, too.
        if fields_of(card.get("discounts")).get("usage") not in (None, 0, "0"):
            yield ("discounts", "usage"), "a flat price has no usage to give free; remove it"
