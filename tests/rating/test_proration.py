"""Proration by time, to the second: what is prorated and what never is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest

from tollkeeper.errors import InvalidInput
from tollkeeper.rating.proration import period_fraction
from tollkeeper.rating.rate import rate
from tollkeeper.rating.terms import RatingTerms
from tollkeeper.rating.types import RatingOptions

Charge = Callable[..., list[str]]
JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def part_of_january(start: datetime, end: datetime) -> Fraction:
    return period_fraction(start, end, period_start=JANUARY, period_end=FEBRUARY)


def test_the_fraction_is_elapsed_seconds_over_the_seconds_of_the_period() -> None:
    assert part_of_january(JANUARY, datetime(2026, 1, 17, tzinfo=UTC)) == Fraction(16, 31)
    assert part_of_january(datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), FEBRUARY) == Fraction(1, 2678400)
    assert part_of_january(JANUARY, FEBRUARY) == 1
    assert part_of_january(JANUARY, JANUARY) == 0


def test_a_started_second_does_not_count() -> None:
    assert part_of_january(JANUARY, JANUARY + timedelta(milliseconds=1900)) == Fraction(1, 2678400)


def test_what_lies_outside_the_period_does_not_count() -> None:
    assert part_of_january(JANUARY - timedelta(days=9), FEBRUARY + timedelta(days=9)) == 1
    assert part_of_january(FEBRUARY, FEBRUARY + timedelta(days=9)) == 0
    assert part_of_january(FEBRUARY + timedelta(days=3), FEBRUARY + timedelta(days=9)) == 0


def test_instants_are_compared_across_zones() -> None:
    one_hour_east = timezone(timedelta(hours=1))
    assert part_of_january(JANUARY, datetime(2026, 1, 17, 1, tzinfo=one_hour_east)) == Fraction(16, 31)


def test_a_period_without_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least a second"):
        period_fraction(JANUARY, FEBRUARY, period_start=JANUARY, period_end=JANUARY)


def test_a_flat_price_is_prorated_and_rounded_once(charge: Charge) -> None:
    price = {"type": "flat", "amount": "20.00"}
    # 20.00 * 16 / 31 = 10.3225...
    assert charge(price, "0", fraction=Fraction(16, 31)) == ["flat 1 x 20.00 = 10.32", "total 10.32"]
    # three seats: 30.9677..., not three times 10.32
    seats = {**price, "quantity": "3"}
    assert charge(seats, "0", fraction=Fraction(16, 31))[-1] == "total 30.97"


def test_a_line_that_prorates_to_zero_is_left_out(charge: Charge) -> None:
    price = {"type": "flat", "amount": "20.00"}
    assert charge(price, "0", fraction=Fraction(0)) == ["total 0.00"]
    assert charge(price, "0", fraction=Fraction(1, 2678400)) == ["total 0.00"]  # 0.0000075
    assert charge({"type": "flat", "amount": "0"}, "0", fraction=Fraction(1, 2)) == ["total 0.00"]


def test_a_third_is_exact(charge: Charge) -> None:
    # a third of 0.015 is 0.005 exactly and rounds up; a decimal third would round down
    assert charge({"type": "flat", "amount": "0.015"}, "0", fraction=Fraction(1, 3))[-1] == "total 0.01"


def test_usage_prices_are_never_prorated(charge: Charge) -> None:
    half = Fraction(1, 2)
    assert charge({"type": "unit", "amount": "0.01"}, "1000", fraction=half)[-1] == "total 10.00"
    assert charge({"type": "package", "amount": "5", "package_size": "10"}, "1", fraction=half)[-1] == "total 5.00"
    tiers = [{"up_to": None, "unit_price": "1", "flat_price": "4"}]
    assert charge({"type": "graduated", "tiers": tiers}, "1", fraction=half)[-1] == "total 5.00"


def test_the_minimum_is_prorated_and_the_maximum_is_not(charge: Charge) -> None:
    unit = {"type": "unit", "amount": "0.01"}
    both = {"minimum_amount": "50.00", "maximum_amount": "60.00"}
    assert charge(unit, "1000", fraction=Fraction(1, 2), commitments=both) == [
        "usage 1000 x 0.01 = 10.00",
        "minimum_commitment 1 x 15.00 = 15.00",
        "total 25.00",
    ]
    assert charge(unit, "5900", fraction=Fraction(1, 2), commitments=both)[-1] == "total 59.00"


def test_a_minimum_that_prorates_to_zero_is_left_out(charge: Charge) -> None:
    unit = {"type": "unit", "amount": "0.01"}
    assert charge(unit, "0", fraction=Fraction(0), commitments={"minimum_amount": "50"}) == ["total 0.00"]


@pytest.mark.parametrize("fraction", [Fraction(-1, 31), Fraction(32, 31)])
def test_a_fraction_outside_the_period_is_refused(fraction: Fraction) -> None:
    with pytest.raises(InvalidInput, match="/period_fraction"):
        rate(RatingTerms(), "USD", Decimal(0), options=RatingOptions(period_fraction=fraction))
