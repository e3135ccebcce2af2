"""Windows follow the clocks of a time zone, over daylight-saving changes."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollkeeper.errors import InvalidInput
from tollkeeper.metering.windows import WindowSize, windows_between, zone_of


def hours(zone: str, start: datetime, end: datetime, size: WindowSize) -> list[float]:
    return [
        (window.end - window.start) / timedelta(hours=1) for window in windows_between(start, end, size, zone_of(zone))
    ]


def test_a_day_of_a_clock_change_has_23_or_25_hours() -> None:
    spring = datetime(2026, 3, 27, 23, tzinfo=UTC), datetime(2026, 3, 30, 22, tzinfo=UTC)
    assert hours("Europe/Berlin", *spring, WindowSize.DAY) == [24, 23, 24]
    autumn = datetime(2026, 10, 23, 22, tzinfo=UTC), datetime(2026, 10, 26, 23, tzinfo=UTC)
    assert hours("Europe/Berlin", *autumn, WindowSize.DAY) == [24, 25, 24]


def test_a_day_that_begins_at_one_o_clock_begins_there() -> None:
    """In Santiago clocks went from 24:00 to 01:00 in the night to 6 September 2026."""
    start, end = datetime(2026, 9, 5, 4, tzinfo=UTC), datetime(2026, 9, 7, 3, tzinfo=UTC)
    assert hours("America/Santiago", start, end, WindowSize.DAY) == [24, 23]


def test_the_first_and_the_last_window_are_cut_to_what_was_asked() -> None:
    windows = windows_between(
        datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 3, 1, 6, tzinfo=UTC), WindowSize.MONTH, zone_of("UTC")
    )
    assert [(window.start.day, window.end.day) for window in windows] == [(31, 1), (1, 1), (1, 1)]


def test_an_hour_of_a_zone_with_half_hours_begins_at_its_own_full_hour() -> None:
    start = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
    windows = windows_between(start, start + timedelta(hours=1), WindowSize.HOUR, zone_of("Asia/Kolkata"))
    assert [window.start.minute for window in windows] == [10, 30]


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 40 * 365 * 86_400).map(
        lambda seconds: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    ),
    st.timedeltas(timedelta(seconds=1), timedelta(days=2)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.sampled_from([WindowSize.HOUR, WindowSize.DAY, WindowSize.MONTH]),
)
def test_windows_join_without_gap_or_overlap(start: datetime, length: timedelta, zone: str, size: WindowSize) -> None:
    windows = windows_between(start, start + length, size, zone_of(zone))
    assert (windows[0].start, windows[-1].end) == (start, start + length)
    assert all(one.end == following.start for one, following in pairwise(windows))
    assert all(one.start < one.end for one in windows)


@pytest.mark.parametrize(("days", "size", "path"), [(0, WindowSize.DAY, "/to"), (2, WindowSize.MINUTE, "/window")])
def test_no_window_and_too_many_are_refused(days: int, size: WindowSize, path: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput) as refusal:
        windows_between(start, start + timedelta(days=days), size, zone_of("UTC"))
    assert refusal.value.fields[0].path == path
