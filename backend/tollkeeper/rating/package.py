"""Package price: each started package is charged; zero usage is zero packages."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

from pydantic import Field

from tollkeeper.rating.decimals import NonNegative, Positive, plain
from tollkeeper.rating.lines import ExactLine, PeriodUsage
from tollkeeper.rating.problems import CheckedModel
from tollkeeper.rating.types import LineKind


class PackagePrice(CheckedModel):
    """An amount for each started package of `package_size` units."""

    type: Literal["package"]
    amount: NonNegative = Field(description="Price of one package, in major units.")
    package_size: Positive = Field(description="Units in a package.")

    def lines(self, usage: PeriodUsage) -> Iterator[ExactLine]:
        """Yield one line whose quantity counts packages; none at zero usage."""
        packages = math.ceil(usage.quantity / Fraction(self.package_size))
        if packages > 0:
            description = f"Packages of {plain(self.package_size)}"
            yield ExactLine(LineKind.USAGE, description, Fraction(packages), self.amount)
