"""A small company's books for the page tests and the screenshots: Kong Air, its parent, a start-up, a free user."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from tests.shop import add_add_on, add_customer, add_feature, flat
from tollkeeper.access.admins import create_admin
from tollkeeper.access.audit import Actor, ActorKind, record_act
from tollkeeper.access.keys import create_api_key, revoke_api_key
from tollkeeper.catalog.draft import create_plan_draft
from tollkeeper.catalog.publish import publish_plan
from tollkeeper.catalog.spec import MeteredEntitlement, PlanSpec
from tollkeeper.catalog.templates import put_template
from tollkeeper.coupons.coupons import CouponDraft, create_coupon
from tollkeeper.coupons.redeem import redeem_coupon
from tollkeeper.customers.customers import update_customer
from tollkeeper.entitlements.nodes import Heartbeat, record_heartbeat, watch_nodes
from tollkeeper.invoices.billing_run import bill_due_periods
from tollkeeper.invoices.legal_entities import save_legal_entity
from tollkeeper.invoices.pay import mark_paid
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event
from tollkeeper.payments.client import open_stand_in
from tollkeeper.payments.sync import sync_due_invoices
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import subscribe
from tollkeeper.taxes.rates import TaxRateDraft, create_rate

NOW = datetime(2026, 3, 18, 14, 30, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
ADMIN, PASSWORD = "ada@example.com", "correct horse battery"
CONSUMERS = {"booking-web": 60, "booking-app": 45, "cargo-api": 30, "crew-portal": 14, "nimbus-bot": 25, "tess": 9}


def fill(database: Database) -> None:
    """Write the books as of NOW: February is invoiced, March runs."""
    with database.transaction() as session:
        admin = create_admin(session, ADMIN, PASSWORD, now=FEBRUARY)
        ada = Actor(ActorKind.ADMIN, admin.id, ADMIN)
        operator = Actor(ActorKind.COMMAND, "operator", "operator")
        _add_keys(session)
        record_act(session, operator, "keys create", target="node-7", fields=["scope"], now=FEBRUARY)
        _add_plans(session)
        publish = "POST /api/v1/plans/<key>/publish"
        record_act(session, ada, publish, target="/api/v1/plans/pro/publish", now=FEBRUARY + timedelta(hours=1))
        _add_customers(session)
        _add_nodes(session)
        new, fields = "/admin/customers/new", ["name", "key", "currency"]
        record_act(session, ada, f"POST {new}", target=new, fields=fields, now=FEBRUARY + timedelta(hours=2))
        _add_offers(session)
    with database.transaction() as session:
        accept_events(session, list(_events()), now=NOW)
    for month_end in (FEBRUARY, MARCH):
        bill_due_periods(database, now=month_end + timedelta(hours=2))
        sync_due_invoices(database, open_stand_in(database), now=month_end + timedelta(hours=2))
    with database.transaction() as session:
        mark_paid(session, "INV-000001", now=FEBRUARY + timedelta(days=9))


def _add_keys(session: Session) -> None:
    create_api_key(session, "node-7", ["ingest", "gateway"], now=FEBRUARY)
    create_api_key(session, "month-end script", ["read"], now=FEBRUARY + timedelta(days=3))
    old = create_api_key(session, "laptop of a contractor", ["admin"], now=FEBRUARY)
    revoke_api_key(session, old.key.id, now=FEBRUARY + timedelta(days=20))


def _add_plans(session: Session) -> None:
    add_feature(session, "flights_ok", route={"in": ["flights", "bookings"]}, status={"lt": "300"})
    add_feature(session, "output_tokens", "output_tokens")
    tiers = [
        {"up_to": "500", "unit_price": "0", "flat_price": "0"},
        {"up_to": "1000", "unit_price": "0.01"},
        {"up_to": None, "unit_price": "0.0075"},
    ]
    calls = {"key": "calls", "feature": "flights_ok", "price": {"type": "graduated", "tiers": tiers}}
    tokens = {
        "key": "tokens",
        "feature": "output_tokens",
        "price": {"type": "package", "amount": "5.00", "package_size": "10000"},
        "discounts": {"usage": "2000"},
    }
    quota = {
        "key": "quota",
        "feature": "flights_ok",
        "entitlement": {"type": "metered", "limit": "60", "usage_period": "P1M"},
    }
    soft_limit = {"type": "metered", "limit": "250", "is_soft_limit": True}
    plans = {
        "pro": ("Pro", "EUR", [flat("platform_fee", "49.00"), calls, tokens]),
        "start-up": ("Start-up", "USD", [flat("fee", "20.00"), calls | {"entitlement": soft_limit}]),
        "free": ("Free", "USD", [quota]),
    }
    for key, (name, currency, cards) in plans.items():
        spec = {"name": name, "currency": currency, "phases": [{"key": "main", "rate_cards": cards}]}
        create_plan_draft(session, key, PlanSpec.model_validate(spec), now=FEBRUARY)
        publish_plan(session, key, now=FEBRUARY)


def _add_customers(session: Session) -> None:
    berlin: dict[str, Any] = {"currency": "EUR", "time_zone": "Europe/Berlin"}
    add_customer(session, "kong-air-group", **berlin, email="billing@kong-air.example")
    add_customer(session, "kong-air", "booking-web", "booking-app", **berlin, parent="kong-air-group")
    add_customer(session, "kong-air-cargo", "cargo-api", **berlin, parent="kong-air-group")
    add_customer(session, "nimbus", "nimbus-bot", email="founders@nimbus.example")
    add_customer(session, "tess", "tess")
    for key, name in (
        ("kong-air-group", "Kong Air Group"),
        ("kong-air", "Kong Air"),
        ("kong-air-cargo", "Kong Air Cargo"),
        ("nimbus", "Nimbus Travel Labs"),
        ("tess", "Tess Okafor"),
    ):
        update_customer(session, key, {"name": name})
    midnight_in_berlin = FEBRUARY - timedelta(hours=1)
    for key in ("kong-air", "kong-air-cargo"):
        subscribe(session, key, "pro", start=midnight_in_berlin, now=FEBRUARY)
    subscribe(session, "nimbus", "start-up", start=FEBRUARY, now=FEBRUARY)
    subscribe(session, "tess", "free", start=FEBRUARY, now=FEBRUARY)


def _add_offers(session: Session) -> None:
    """Write what takes nothing off and adds nothing to the invoices here: Tess pays for no tokens."""
    tokens = CouponDraft(code="TOKENS-10", name="Tokens", percentage=Decimal(10), features=["output_tokens"])
    create_coupon(session, tokens, now=FEBRUARY)
    launch = CouponDraft(code="LAUNCH", name="Launch gift", amount_minor=2500, currency="EUR", max_redemptions=100)
    create_coupon(session, launch, now=FEBRUARY)
    redeem_coupon(session, "tess", "TOKENS-10", now=FEBRUARY + timedelta(days=1))
    save_legal_entity(session, "de", {"name": "Toll Deutschland GmbH", "tax_id": "DE123456789"})
    create_rate(session, TaxRateDraft(name="VAT", country="NL", percentage=Decimal(21)), now=FEBRUARY)
    reduced = TaxRateDraft(name="VAT reduced", country="FR", percentage=Decimal("5.5"), tax_code="books")
    create_rate(session, reduced, now=FEBRUARY)
    quota = MeteredEntitlement(type="metered", limit=Decimal(1000))
    put_template(session, "basic-quota", "Basic quota", quota, now=FEBRUARY)
    add_add_on(session, "support", flat("support", "99.00"), instances="multiple", currency="EUR")


def _events() -> Any:
    day = FEBRUARY
    number = 0
    while day < NOW:
        weekday = 0.55 if day.weekday() >= 5 else 1.0
        for consumer, base in CONSUMERS.items():
            count = int(base * weekday * (1 + 0.25 * math.sin(day.toordinal() / 3)))
            for index in range(count):
                number += 1
                when = day + timedelta(seconds=index * 80_000 // count)
                if when < NOW:
                    yield _event(number, consumer, when)
        day += timedelta(days=1)


def _event(number: int, consumer: str, when: datetime) -> Event:
    route = ("flights", "bookings", "destinations", "chat")[number % 4]
    data: dict[str, Any] = {
        "route": route,
        "service": route,
        "method": "GET",
        "status": 200,
        "origin": "upstream",
        "consumer": {"id": consumer, "username": consumer},
        "bytes": {"request": 200, "response": 900},
    }
    if route == "chat":
        model = ("gpt-4o-mini", "claude-sonnet-4-5")[number % 8 // 4]
        data["llm"] = {"provider": "openai", "model": model, "input_tokens": 120, "output_tokens": 60}
    if consumer == "tess" and number % 5 == 0:
        data |= {"status": 429, "origin": "kong", "refused": {"code": "quota_exhausted", "limit_id": "lim_1"}}
        data.pop("llm", None)
    return Event(
        id=f"{number:032x}",
        source="kong/node-7",
        type="kong.request",
        subject=f"consumer:{consumer}",
        time=when.isoformat().replace("+00:00", "Z"),
        data=data,
    )


def _add_nodes(session: Session) -> None:
    counters = {
        "access": 51200,
        "log": 51200,
        "spooled": 51190,
        "shipped": 51178,
        "dropped": 0,
        "refused": 210,
        "set_aside": 0,
        "errors": 0,
    }
    for node, spooled, seen in (("node-7", 12, NOW), ("node-8", 0, NOW - timedelta(minutes=42))):
        beat = Heartbeat(
            node=node,
            version="0.1.0",
            sent_at=seen,
            enforce="on",
            verdict_cursor="17",
            verdict_age_seconds=0.8,
            spool={"records": spooled, "bytes": spooled * 530, "oldest_age_seconds": 0.4},
            counters=counters,
        )
        record_heartbeat(session, beat, now=seen)
    watch_nodes(session, now=NOW)
