"""Cut a stretch of time into minutes, hours, days or months of a time zone, over daylight-saving changes; pure."""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tollkeeper.errors import InvalidInput

MOST_WINDOWS = 2_000


class WindowSize(StrEnum):
    """How long a window is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Window(NamedTuple):
    """Half-open [start, end), in UTC."""

    start: datetime
    end: datetime


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name; raises InvalidInput at /time_zone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidInput.of("/time_zone", f"{name!r} is no time zone; write it like 'Europe/Berlin'") from None


def windows_between(start: datetime, end: datetime, size: WindowSize | None, zone: ZoneInfo) -> list[Window]:
    """Return the windows of [start, end), in order; the first and the last are cut to it.

    A day of a daylight-saving change has 23 or 25 hours. Without a size the whole is one window. Raises
    InvalidInput when there would be too many.
    """
    if end <= start:
        raise InvalidInput.of("/to", "must be after from")
    if size is None:
        return [Window(start, end)]
    windows: list[Window] = []
    here = start.astimezone(UTC)
    while here < end:
        following = min(_next_boundary(here, size, zone), end.astimezone(UTC))
        windows.append(Window(here, following))
        here = following
        if len(windows) > MOST_WINDOWS:
            raise InvalidInput.of("/window", f"makes more than {MOST_WINDOWS} windows; choose a longer one")
    return windows


def _next_boundary(instant: datetime, size: WindowSize, zone: ZoneInfo) -> datetime:
    local = instant.astimezone(zone)
    if size in {WindowSize.MINUTE, WindowSize.HOUR}:
        past = timedelta(seconds=local.second, microseconds=local.microsecond)
        length = timedelta(minutes=1)
        if size is WindowSize.HOUR:
            past, length = past + timedelta(minutes=local.minute), timedelta(hours=1)
        return instant - past + length
    if size is WindowSize.DAY:
        return _midnight(local.date() + timedelta(days=1), zone)
    return _midnight((local.date().replace(day=28) + timedelta(days=4)).replace(day=1), zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    # Where clocks spring forward at midnight, 00:00 does not exist: the zone then gives the instant of the change.
    return datetime.combine(day, time(), zone).astimezone(UTC)
