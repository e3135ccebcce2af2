"""Instants in queries and bodies: with an offset, and within what calendars can compute."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(3000, 1, 1, tzinfo=UTC)


def in_range(instant: datetime) -> datetime:
    """Return the instant in UTC; raises ValueError for one that calendars cannot compute with."""
    if not EARLIEST <= instant < LATEST:
        raise ValueError("must lie between the years 1900 and 3000")
    return instant.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(in_range)]
