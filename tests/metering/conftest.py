"""Events of one month for the tests of metering."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tollkeeper.metering.event import Event

NOW = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def kong_event() -> Callable[..., Event]:
    """Make the kong.request with a number, some minutes after the beginning of March 2026."""

    def make(number: int, minutes: float = 0, subject: str = "consumer:1", **data: Any) -> Event:
        return Event(
            id=f"{number:032x}",
            source="kong/node-7",
            type="kong.request",
            subject=subject,
            time=START + timedelta(minutes=minutes),
            data={"route": "flights", "method": "GET", "status": 200, **data},
        )

    return make
