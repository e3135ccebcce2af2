"""Several customers' usage measured as one: sums add up, maxima and distinct values are those of the pool."""

from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from tests.shop import T0, add_customer, at
from tollkeeper.catalog.features import FeatureDraft, create_feature
from tollkeeper.invoices.raw_usage import raw_usage_of
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.event import Event
from tollkeeper.metering.meters import MeterDraft, create_meter
from tollkeeper.subscriptions.coverage import CoveredStretch
from tollkeeper.usage.event_range import event_range_of, pooled_event_range
from tollkeeper.usage.usage_of import Usage, pooled_usage, usage_of

JAN, MIDDLE, FEB = at("2026-01-01"), at("2026-01-16"), at("2026-02-01")
# who, day, size, region
USED = (("a", 2, "5", "eu"), ("a", 20, "9", "us"), ("b", 3, "7", "eu"), ("b", 4, "1", "asia"), ("b", 25, "30", "mars"))


@pytest.fixture
def stretches(session: Session) -> list[CoveredStretch]:
    """All of January for a, the first half of it for b, and c, who used nothing."""
    ids = {key: add_customer(session, key, key).id for key in "abc"}
    for aggregation in ("sum", "max", "latest", "unique_count"):
        value = "region" if aggregation == "unique_count" else "size"
        create_meter(
            session,
            MeterDraft(key=f"m_{aggregation}", name="m", event_type="job", aggregation=aggregation, value=value),
            now=T0,
        )
        create_feature(session, FeatureDraft(key=aggregation, name="f", meter_key=f"m_{aggregation}"), now=T0)
    events = [
        Event(
            id=f"e{place}",
            source="test",
            type="job",
            subject=f"consumer:{who}",
            time=datetime.fromisoformat(f"2026-01-{day:02}T10:00:00+00:00"),
            data={"size": size, "region": region},
        )
        for place, (who, day, size, region) in enumerate(USED)
    ]
    assert accept_events(session, events, now=FEB).accepted == len(USED)
    return [
        CoveredStretch(ids["a"], JAN, FEB),
        CoveredStretch(ids["b"], JAN, MIDDLE),
        CoveredStretch(ids["c"], JAN, FEB),
    ]


@pytest.mark.parametrize(
    ("feature", "whole", "of_a", "of_b"),
    [
        ("sum", "22", "14", "8"),
        ("max", "9", "9", "7"),
        ("latest", "9", "9", "1"),
        ("unique_count", "3", "2", "2"),  # eu is one region, whoever used it
    ],
)
def test_the_pool_is_measured_as_one(
    session: Session, stretches: list[CoveredStretch], feature: str, whole: str, of_a: str, of_b: str
) -> None:
    pool = pooled_usage(session, feature, stretches)
    assert pool.whole == Usage(Decimal(whole), 4)
    assert pool.by_customer == {
        stretches[0].customer_id: Usage(Decimal(of_a), 2),
        stretches[1].customer_id: Usage(Decimal(of_b), 2),
    }
    assert raw_usage_of(session, feature, stretches) == pool


def test_one_customer_s_usage_is_a_pool_of_one(session: Session, stretches: list[CoveredStretch]) -> None:
    b = stretches[1].customer_id
    assert usage_of(session, b, "sum", JAN, FEB) == Usage(Decimal(38), 3)
    assert pooled_usage(session, "sum", [stretches[1], CoveredStretch(b, MIDDLE, FEB)]).whole == Usage(Decimal(38), 3)


def test_nobody_s_usage_is_none(session: Session, stretches: list[CoveredStretch]) -> None:
    pool = pooled_usage(session, "max", [stretches[2]])
    assert (pool.whole, pool.by_customer) == (Usage(Decimal(0), 0), {})


def test_the_event_range_is_that_of_the_pool(session: Session, stretches: list[CoveredStretch]) -> None:
    found = pooled_event_range(session, "sum", stretches)
    assert (found.count, found.first_time, found.last_time) == (4, at("2026-01-02T10:00"), at("2026-01-20T10:00"))
    assert pooled_event_range(session, "sum", stretches[:1]) == event_range_of(
        session, stretches[0].customer_id, "sum", JAN, FEB
    )
    assert found.digest != pooled_event_range(session, "sum", stretches[:1]).digest
