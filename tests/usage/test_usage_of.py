"""A customer's usage is its own subjects', while they were mapped to it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer
from tollkeeper.customers.map_consumer import map_consumer, remap_consumer
from tollkeeper.errors import InvalidInput, NotFound
from tollkeeper.metering.windows import WindowSize, windows_between, zone_of
from tollkeeper.usage.series import family_usage, meter_totals, series_of
from tollkeeper.usage.unmapped import unmapped_usage
from tollkeeper.usage.usage_of import Usage, usage_by_group, usage_of

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
Send = Callable[..., None]


def used(session: Session, customer: str, feature: str, start: datetime = MARCH, end: datetime = APRIL) -> Usage:
    return usage_of(session, get_customer(session, customer).id, feature, start, end)


def test_a_customer_s_usage_is_its_own_and_a_filter_narrows_it(session: Session, acme: str, send: Send) -> None:
    send("alice", 3)
    send("alice", 2, hours=30, status=500)
    send("bob", 7)
    send("stranger", 9)
    assert used(session, acme, "calls") == Usage(Decimal(5), 5)
    assert used(session, acme, "calls_ok") == Usage(Decimal(3), 3)
    assert used(session, acme, "tokens") == Usage(Decimal(0), 0)
    assert used(session, acme, "calls", MARCH, MARCH + timedelta(minutes=2)) == Usage(Decimal(2), 2)


def test_refused_requests_are_nobody_s_usage(session: Session, acme: str, send: Send) -> None:
    send("alice", 3)
    send("alice", 4, status=429, refused={"code": "quota_exhausted", "limit_id": "lim_1"})
    assert used(session, acme, "calls") == Usage(Decimal(3), 3)


def test_a_moved_consumer_s_usage_is_cut_at_the_instant(session: Session, acme: str, send: Send) -> None:
    """Ten requests, a minute apart, from 05:00; moved at 05:04, inside an hour."""
    send("alice", 10, hours=5)
    moved = MARCH + timedelta(hours=5, minutes=4)
    remap_consumer(session, "globex", "username", "alice", since=moved, now=APRIL)
    assert used(session, acme, "calls").quantity == 4
    assert used(session, "globex", "calls").quantity == 6


def test_a_family_s_usage_is_each_member_s_and_the_sum(session: Session, acme: str, send: Send) -> None:
    send("alice", 3)
    send("bob", 4)
    family = family_usage(session, get_customer(session, acme).id, "calls", MARCH, APRIL)
    assert [(customer.key, usage.quantity) for customer, usage in family.members] == [("acme", 3), ("acme-east", 4)]
    assert family.total == Usage(Decimal(7), 7)


def test_usage_by_model_adds_up_to_the_whole(session: Session, acme: str, send: Send) -> None:
    send("alice", 2, llm={"model": "gpt-4o", "input_tokens": 10, "output_tokens": 5})
    send("alice", 1, hours=2, llm={"model": "claude", "input_tokens": 1, "output_tokens": 1})
    found = usage_by_group(session, get_customer(session, acme).id, "tokens", ("model",), MARCH, APRIL)
    assert found == {("gpt-4o",): Usage(Decimal(30), 2), ("claude",): Usage(Decimal(2), 1)}
    assert used(session, acme, "tokens") == Usage(Decimal(32), 3)


def test_a_series_has_a_number_for_every_day_of_the_customer_s_zone(session: Session, acme: str, send: Send) -> None:
    """At 22:30 UTC on 1 March it is 23:30 in Berlin; from 23:00 UTC on it is 2 March."""
    send("alice", 60, hours=22.5)
    windows = windows_between(
        datetime(2026, 2, 28, 23, tzinfo=UTC),
        datetime(2026, 3, 3, 23, tzinfo=UTC),
        WindowSize.DAY,
        zone_of("Europe/Berlin"),
    )
    customer_id = get_customer(session, acme).id
    [series] = series_of(session, [customer_id], ["calls"], windows)
    assert series.quantities == (30, 30, 0)
    [of_all] = series_of(session, None, ["calls"], windows)
    assert of_all.quantities == series.quantities


def test_what_everybody_used_is_counted_with_the_unmapped(session: Session, acme: str, send: Send) -> None:
    send("alice", 2)
    send("stranger", 3, status=429, refused={"code": "quota_exhausted"})
    send("stranger", 4, hours=1)
    assert meter_totals(session, ["requests", "refused_requests"], MARCH, APRIL) == {
        "requests": 6,
        "refused_requests": 3,
    }


def test_unmapped_usage_names_who_and_how_much_until_it_is_mapped(session: Session, acme: str, send: Send) -> None:
    send("alice", 5)
    send("carol", 3, hours=1, llm={"input_tokens": 2, "output_tokens": 1})
    send("dave", 4, hours=2)
    send("erin", 2, hours=3, refused={"code": "quota_exhausted"})
    found = [(one.username, one.requests, one.tokens) for one in unmapped_usage(session)]
    assert found == [("dave", 4, 0), ("carol", 3, 9), ("erin", 0, 0)]
    [carol] = [one for one in unmapped_usage(session) if one.username == "carol"]
    assert (carol.first_seen, carol.last_seen) == (
        MARCH + timedelta(hours=1),
        MARCH + timedelta(hours=1, minutes=2),
    )
    map_consumer(session, "globex", "username", "carol", since=carol.first_seen, now=APRIL)
    # Dave's first two requests stay nobody's: he is mapped from his third on.
    map_consumer(session, "globex", "username", "dave", since=MARCH + timedelta(hours=2, minutes=2), now=APRIL)
    assert [(one.username, one.requests) for one in unmapped_usage(session)] == [("dave", 2), ("erin", 0)]


def test_a_feature_that_is_not_there_or_has_no_meter_is_told(session: Session, acme: str) -> None:
    with pytest.raises(NotFound):
        used(session, acme, "nothing")
    with pytest.raises(InvalidInput, match="has no meter"):
        used(session, acme, "support")
    with pytest.raises(InvalidInput):
        used(session, acme, "calls", APRIL, MARCH)
