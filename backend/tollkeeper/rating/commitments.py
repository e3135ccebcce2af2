"""Minimum and maximum spend of a rate card and period."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from pydantic import Field

from tollkeeper.rating.decimals import NonNegative, plain, read_decimal, round_fraction
from tollkeeper.rating.discounts import single_line
from tollkeeper.rating.problems import CheckedModel, Problem, fields_of
from tollkeeper.rating.types import LineKind, RatedLine


class Commitments(CheckedModel):
    """The least and the most that a rate card charges in a period."""

    minimum_amount: NonNegative | None = Field(default=None, description="Charged at least, in major units.")
    maximum_amount: NonNegative | None = Field(default=None, description="Charged at most, in major units.")

    @classmethod
    def problems(cls, raw: Any) -> Iterator[Problem]:
        """Yield a minimum above the maximum."""
        given = fields_of(raw)
        if given.get("minimum_amount") is None or given.get("maximum_amount") is None:
            return
        try:
            minimum, maximum = read_decimal(given["minimum_amount"]), read_decimal(given["maximum_amount"])
        except ValueError:
            return
        if minimum > maximum:
            yield ("minimum_amount",), f"must be at most the maximum_amount, {plain(maximum)}"


def maximum_lines(sum_minor: int, commitments: Commitments, currency: str) -> list[RatedLine]:
    """Return a negative line for what exceeds the maximum; none if nothing does."""
    if commitments.maximum_amount is None:
        return []
    over_minor = sum_minor - round_fraction(Fraction(commitments.maximum_amount), currency)
    if over_minor <= 0:
        return []
    description = f"Maximum spend of {plain(commitments.maximum_amount)}"
    return [single_line(LineKind.MAXIMUM_SPEND, description, -over_minor, currency)]


def minimum_lines(sum_minor: int, commitments: Commitments, fraction: Fraction, currency: str) -> list[RatedLine]:
    """Return a line that fills up to the minimum, prorated by time; none if that is reached."""
    if commitments.minimum_amount is None:
        return []
    missing_minor = round_fraction(Fraction(commitments.minimum_amount) * fraction, currency) - sum_minor
    if missing_minor <= 0:
        return []
    description = f"Minimum commitment of {plain(commitments.minimum_amount)}"
    if fraction != 1:
        description += f" for {fraction} of the period"
    return [single_line(LineKind.MINIMUM_COMMITMENT, description, missing_minor, currency)]
