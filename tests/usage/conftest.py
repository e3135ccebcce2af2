"""Acme (with a subsidiary) and its consumers in March 2026."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tollkeeper.catalog.features import FeatureDraft, create_feature
from tollkeeper.customers.customers import CustomerDraft, create_customer
from tollkeeper.customers.map_consumer import map_consumer
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def send(session: Session) -> Callable[..., None]:
    """Send requests: `send("alice", 3, hours=5)` is three of alice's, from 1 March 05:00 on, a minute apart."""
    numbers = iter(range(1, 1_000_000))

    def make(username: str, count: int = 1, *, hours: float = 0, **data: Any) -> None:
        events = [
            Event(
                id=f"{next(numbers):032x}",
                source="kong/node-1",
                type="kong.request",
                subject=f"consumer:{username}",
                time=MARCH + timedelta(hours=hours, minutes=minute),
                data={"route": "flights", "status": 200, "consumer": {"id": username, "username": username}, **data},
            )
            for minute in range(count)
        ]
        assert accept_events(session, events, now=APRIL).accepted == count

    return make


@pytest.fixture
def acme(session: Session) -> str:
    """Acme with alice since March, its subsidiary with bob; features `calls`, `calls_ok` and `tokens`."""
    for key, parent in (("acme", None), ("acme-east", "acme"), ("globex", None)):
        create_customer(session, CustomerDraft(key=key, name=key, parent=parent), now=MARCH)
    map_consumer(session, "acme", "username", "alice", since=MARCH, now=MARCH)
    map_consumer(session, "acme-east", "username", "bob", since=MARCH, now=MARCH)
    ok = {"status": {"gte": "200", "lt": "300"}}
    for key, meter, filter_ in (
        ("calls", "requests", {}),
        ("calls_ok", "requests", ok),
        ("tokens", "total_tokens", {}),
    ):
        create_feature(session, FeatureDraft(key=key, name=key, meter_key=meter, filter=filter_), now=MARCH)
    create_feature(session, FeatureDraft(key="support", name="Support"), now=MARCH)
    return "acme"
