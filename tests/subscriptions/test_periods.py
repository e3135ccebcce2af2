"""Periods tile time: no gap, no overlap, the anchor's day is kept, wall time rules over elapsed time."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollkeeper.errors import InvalidInput
from tollkeeper.subscriptions.periods import Period, boundary, period_at, periods_between, shift

CADENCES = st.sampled_from(["P1D", "P1W", "P1M", "P3M", "P1Y", "P2W", "P30D"])
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo"]
)
INSTANTS = st.datetimes(
    min_value=datetime(1999, 1, 1),  # noqa: DTZ001  # hypothesis asks for naive bounds
    max_value=datetime(2041, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts(anchor: str, cadence: str, time_zone: str, count: int) -> list[str]:
    found = [boundary(utc(anchor), cadence, time_zone, index) for index in range(count)]
    return [instant.strftime("%Y-%m-%d %H:%M") for instant in found]


def test_the_31st_falls_on_the_last_day_of_short_months_and_comes_back() -> None:
    assert starts("2026-01-31T00:00", "P1M", "UTC", 5) == [
        "2026-01-31 00:00",
        "2026-02-28 00:00",
        "2026-03-31 00:00",
        "2026-04-30 00:00",
        "2026-05-31 00:00",
    ]


def test_february_of_a_leap_year_has_a_29th() -> None:
    assert starts("2028-01-31T00:00", "P1M", "UTC", 3)[1] == "2028-02-29 00:00"


def test_a_year_from_29_february_is_28_february_until_the_next_leap_year() -> None:
    assert starts("2028-02-29T00:00", "P1Y", "UTC", 5) == [
        "2028-02-29 00:00",
        "2029-02-28 00:00",
        "2030-02-28 00:00",
        "2031-02-28 00:00",
        "2032-02-29 00:00",
    ]


def test_a_quarter_from_30_november_ends_on_28_february() -> None:
    assert starts("2026-11-30T00:00", "P3M", "UTC", 3) == ["2026-11-30 00:00", "2027-02-28 00:00", "2027-05-30 00:00"]


def test_months_begin_at_local_midnight_in_winter_and_in_summer() -> None:
    """Berlin is UTC+1 until 29 March 2026, then UTC+2."""
    assert starts("2026-02-28T23:00", "P1M", "Europe/Berlin", 3) == [
        "2026-02-28 23:00",
        "2026-03-31 22:00",
        "2026-04-30 22:00",
    ]


def test_a_day_of_the_clock_change_has_23_or_25_hours() -> None:
    spring = period_at(utc("2026-01-01T23:00"), "P1D", "Europe/Berlin", utc("2026-03-29T12:00"))
    autumn = period_at(utc("2026-01-01T23:00"), "P1D", "Europe/Berlin", utc("2026-10-25T12:00"))
    assert spring.end - spring.start == timedelta(hours=23)
    assert autumn.end - autumn.start == timedelta(hours=25)


def test_a_wall_time_that_the_clock_change_skips_is_read_with_the_offset_before_it() -> None:
    """02:30 does not exist in Berlin on 29 March 2026; with UTC+1 it is 01:30 UTC."""
    assert starts("2026-03-28T01:30", "P1D", "Europe/Berlin", 3) == [
        "2026-03-28 01:30",
        "2026-03-29 01:30",
        "2026-03-30 00:30",
    ]


def test_an_end_is_outside_and_is_the_next_start() -> None:
    first = period_at(utc("2026-01-01T00:00"), "P1M", "UTC", utc("2026-01-31T23:59:59.999999"))
    second = period_at(utc("2026-01-01T00:00"), "P1M", "UTC", utc("2026-02-01T00:00"))
    assert first == Period(utc("2026-01-01T00:00"), utc("2026-02-01T00:00"))
    assert second == Period(utc("2026-02-01T00:00"), utc("2026-03-01T00:00"))


def test_periods_reach_back_before_the_anchor() -> None:
    assert period_at(utc("2026-03-31T00:00"), "P1M", "UTC", utc("2026-02-10T00:00")) == Period(
        utc("2026-01-31T00:00"), utc("2026-02-28T00:00")
    )


def test_half_of_april_is_a_half() -> None:
    april = Period(utc("2026-04-01T00:00"), utc("2026-05-01T00:00"))
    part = april.overlap(utc("2026-04-16T00:00"), None)
    assert part is not None
    assert part.share_of(april) == Fraction(1, 2)


def test_a_phase_of_a_month_from_the_31st_ends_on_the_28th() -> None:
    assert shift(utc("2026-01-31T10:00"), "P1M", "UTC") == utc("2026-02-28T10:00")


@pytest.mark.parametrize("cadence", ["", "P0M", "1M", "P1H", "PT1H", "P1.5M", "P1M2D", "P-1M"])
def test_what_is_no_cadence_is_refused(cadence: str) -> None:
    with pytest.raises(InvalidInput, match="no cadence"):
        period_at(utc("2026-01-01T00:00"), cadence, "UTC", utc("2026-01-01T00:00"))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidInput, match="no IANA time zone"):
        period_at(utc("2026-01-01T00:00"), "P1M", zone, utc("2026-06-01T00:00"))


@settings(deadline=None)
@given(INSTANTS, CADENCES, ZONES, INSTANTS)
def test_any_instant_is_in_exactly_one_period(anchor: datetime, cadence: str, zone: str, instant: datetime) -> None:
    period = period_at(anchor, cadence, zone, instant)
    assert period.contains(instant)
    assert period_at(anchor, cadence, zone, period.start) == period
    assert period_at(anchor, cadence, zone, period.end).start == period.end
    assert period_at(anchor, cadence, zone, period.start - timedelta(microseconds=1)).end == period.start


@settings(deadline=None)
@given(INSTANTS, CADENCES, ZONES, INSTANTS, st.integers(0, 400))
def test_periods_tile_time_without_gap_or_overlap(
    anchor: datetime, cadence: str, zone: str, start: datetime, days: int
) -> None:
    end = start + timedelta(days=days)
    periods = list(periods_between(anchor, cadence, zone, start, end))
    if days == 0:
        assert periods == []
        return
    assert periods[0].contains(start)
    assert periods[-1].start < end <= periods[-1].end
    assert all(one.start < one.end for one in periods)
    assert all(one.end == other.start for one, other in pairwise(periods))
