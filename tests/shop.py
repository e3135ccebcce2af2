"""A small shop for tests: features, plans and customers from a line each."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from tollkeeper.catalog.add_on_spec import AddOnSpec
from tollkeeper.catalog.draft import create_plan_draft
from tollkeeper.catalog.features import FeatureDraft, create_feature
from tollkeeper.catalog.publish import publish_plan
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import PlanKind, PlanVersion
from tollkeeper.customers.customers import CustomerDraft, create_customer
from tollkeeper.customers.map_consumer import map_consumer
from tollkeeper.customers.subjects import SeenSubject, register_subjects
from tollkeeper.customers.tables import Customer
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    """Read an instant in UTC: "2026-01-31" or "2026-01-31T10:00"."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def flat(key: str = "fee", amount: str = "20.00", term: str = "in_advance", cadence: str = "P1M") -> dict[str, Any]:
    """A flat fee."""
    price = {"type": "flat", "amount": amount, "payment_term": term}
    return {"key": key, "price": price, "billing_cadence": cadence}


def per_unit(key: str, feature: str, amount: str = "0.01", cadence: str = "P1M") -> dict[str, Any]:
    """A unit price on a feature."""
    return {"key": key, "feature": feature, "price": {"type": "unit", "amount": amount}, "billing_cadence": cadence}


def metered(key: str, feature: str, limit: str, **more: Any) -> dict[str, Any]:
    """A quota on a feature, without a price."""
    return {"key": key, "feature": feature, "entitlement": {"type": "metered", "limit": limit, **more}}


def switch(key: str, feature: str) -> dict[str, Any]:
    """A feature that is on."""
    return {"key": key, "feature": feature, "entitlement": {"type": "boolean"}}


def add_feature(session: Session, key: str, meter: str | None = "requests", **filter_: Any) -> None:
    """Create a feature on a built-in meter."""
    create_feature(session, FeatureDraft(key=key, name=key, meter_key=meter, filter=filter_), now=T0)


def add_plan(session: Session, key: str, *cards: dict[str, Any], currency: str = "USD") -> PlanVersion:
    """Publish a plan (or its next version) of one open phase."""
    return add_phased_plan(session, key, {"key": "main", "rate_cards": list(cards)}, currency=currency)


def add_phased_plan(session: Session, key: str, *phases: dict[str, Any], currency: str = "USD") -> PlanVersion:
    """Publish a plan of several phases."""
    spec = PlanSpec.model_validate({"name": key, "currency": currency, "phases": list(phases)})
    create_plan_draft(session, key, spec, now=T0)
    return publish_plan(session, key, now=T0)


def add_add_on(
    session: Session, key: str, *cards: dict[str, Any], instances: str = "single", currency: str = "USD"
) -> PlanVersion:
    """Publish an add-on (or its next version)."""
    spec = {"name": key, "currency": currency, "instances": instances, "rate_cards": list(cards)}
    create_plan_draft(session, key, AddOnSpec.model_validate(spec), now=T0)
    return publish_plan(session, key, now=T0, kind=PlanKind.ADD_ON)


def add_customer(session: Session, key: str, *consumers: str, **more: Any) -> Customer:
    """Create a customer whose consumers are mapped by subject since ever."""
    customer = create_customer(session, CustomerDraft(key=key, name=key, **more), now=T0)
    register_subjects(session, [SeenSubject(f"consumer:{consumer}") for consumer in consumers], now=T0)
    for consumer in consumers:
        map_consumer(session, key, "subject", f"consumer:{consumer}", since=at("2020-01-01"), now=T0)
    return customer


def use(session: Session, consumer: str, when: datetime, count: int = 1, **data: Any) -> None:
    """Store `count` requests of a consumer at an instant."""
    global _made  # noqa: PLW0603  # ids must differ across calls
    facts = {"route": "flights", "service": "flights", "method": "GET", "status": 200, "origin": "upstream", **data}
    events = []
    for _ in range(count):
        _made += 1
        events.append(
            Event(
                specversion="1.0",
                id=f"{_made:032x}",
                source="kong/test",
                type="kong.request",
                subject=f"consumer:{consumer}",
                time=when.isoformat().replace("+00:00", "Z"),
                data=facts,
            )
        )
    accepted = accept_events(session, events, now=when)
    assert accepted.accepted == count, accepted


_made = 0
ZERO = Decimal(0)
