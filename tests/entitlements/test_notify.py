"""Thresholds, exhaustion and reset are told once per period."""

from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.shop import add_customer, add_feature, add_plan, at, metered, use
from tollkeeper.entitlements.refresh import refresh_verdicts
from tollkeeper.notifications.tables import Notification
from tollkeeper.subscriptions.subscribe import subscribe

JAN, NOW, FEB = at("2026-01-01"), at("2026-01-10T12:00"), at("2026-02-01")


@pytest.fixture(autouse=True)
def acme(session: Session) -> None:
    add_feature(session, "calls")
    add_plan(session, "free", metered("calls", "calls", "10", thresholds=["50", "80", "100"]))
    add_customer(session, "acme", "alice")
    subscribe(session, "acme", "free", start=JAN, now=JAN)


def told(session: Session, now: datetime) -> list[str]:
    while not refresh_verdicts(session, now=now).is_complete:
        pass
    rows = session.scalars(select(Notification).order_by(Notification.id))
    return [" ".join([row.kind.removeprefix("entitlement."), *threshold_of(row)]) for row in rows]


def threshold_of(row: Notification) -> list[str]:
    return [row.payload["threshold_per_cent"]] if "threshold_per_cent" in row.payload else []


def test_each_threshold_is_told_once_in_order(session: Session) -> None:
    use(session, "alice", NOW, 4)
    assert told(session, NOW) == []
    use(session, "alice", NOW, 1)
    assert told(session, NOW) == ["threshold_reached 50"]
    use(session, "alice", NOW, 1)
    assert told(session, NOW) == ["threshold_reached 50"]
    use(session, "alice", NOW, 4)
    assert sorted(told(session, NOW)) == [
        "exhausted",
        "threshold_reached 100",
        "threshold_reached 50",
        "threshold_reached 80",
    ]


def test_a_new_period_tells_of_the_reset_and_of_its_own_thresholds(session: Session) -> None:
    use(session, "alice", NOW, 10)
    before = len(told(session, NOW))
    assert told(session, FEB)[before:] == ["reset"]
    use(session, "alice", FEB, 5)
    assert told(session, FEB)[before:] == ["reset", "threshold_reached 50"]


def test_a_quota_that_was_not_spent_resets_in_silence(session: Session) -> None:
    use(session, "alice", NOW, 3)
    assert told(session, NOW) == []
    assert told(session, FEB) == []
