"""Counting by hours and edges gives what reading every event gives."""

from datetime import datetime

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from tests.shop import add_customer, add_feature, add_plan, at, metered, use
from tollkeeper.entitlements.balances import entitlement_balances
from tollkeeper.entitlements.refresh import refresh_verdicts
from tollkeeper.entitlements.tables import EntitlementLimit
from tollkeeper.metering.meters import MeterDraft, create_meter
from tollkeeper.subscriptions.subscribe import subscribe

START = at("2026-01-10T12:20")


def counted(session: Session, now: datetime) -> str:
    while not refresh_verdicts(session, now=now).is_complete:
        pass
    return format(session.scalars(select(EntitlementLimit)).one().used, "f")


def counted_from_events(session: Session, now: datetime) -> str:
    (balance,) = entitlement_balances(session, "acme", now=now)
    return format(balance.used, "f")


@pytest.fixture
def acme(session: Session) -> None:
    """On a plan since 12:20, and busy before."""
    add_feature(session, "calls")
    add_plan(session, "free", metered("calls", "calls", "1000"))
    add_customer(session, "acme", "alice", "bob")
    subscribe(session, "acme", "free", start=START, now=START)
    use(session, "alice", at("2026-01-10T12:10"), 50)


def test_what_was_used_before_the_start_does_not_count(session: Session, acme: None) -> None:
    use(session, "alice", at("2026-01-10T12:20"), 3)
    use(session, "bob", at("2026-01-10T12:59:59"), 2)
    use(session, "bob", at("2026-01-10T13:00"), 1)
    now = at("2026-01-10T13:01")
    assert counted(session, now) == counted_from_events(session, now) == "6"


def test_new_events_of_the_first_hour_are_added_without_reading_it_again(session: Session, acme: None) -> None:
    use(session, "alice", at("2026-01-10T12:21"), 3)
    assert counted(session, at("2026-01-10T12:22")) == "3"
    use(session, "alice", at("2026-01-10T12:23"), 4)
    with reads_of_events(session) as statements:
        assert counted(session, at("2026-01-10T12:24")) == "7"
    assert statements == []


def test_an_hour_that_is_over_is_read_once_more_and_then_never(session: Session, acme: None) -> None:
    use(session, "alice", at("2026-01-10T12:21"), 3)
    assert counted(session, at("2026-01-10T12:22")) == "3"
    use(session, "alice", at("2026-01-10T14:00"), 1)
    with reads_of_events(session) as statements:
        assert counted(session, at("2026-01-10T14:00:01")) == "4"
    assert statements
    use(session, "alice", at("2026-01-10T14:00:02"), 1)
    with reads_of_events(session) as statements:
        assert counted(session, at("2026-01-10T14:00:03")) == "5"
    assert statements == []


def test_a_late_event_from_before_the_start_is_told_apart_once_the_hour_is_over(session: Session, acme: None) -> None:
    use(session, "alice", at("2026-01-10T12:21"), 3)
    assert counted(session, at("2026-01-10T12:22")) == "3"
    use(session, "alice", at("2026-01-10T12:15"), 2)
    assert counted(session, at("2026-01-10T12:23")) == "5", "taken for a new one while the hour runs"
    use(session, "alice", at("2026-01-10T13:10"), 1)
    assert counted(session, at("2026-01-10T13:11")) == "4"
    use(session, "alice", at("2026-01-10T12:30"), 1)
    assert counted(session, at("2026-01-10T15:00")) == counted_from_events(session, at("2026-01-10T15:00")) == "5"


def test_a_meter_that_does_not_add_up_is_measured_as_a_whole(session: Session) -> None:
    draft = MeterDraft(
        key="models", name="Models", event_type="kong.request", aggregation="unique_count", value="llm.model"
    )
    create_meter(session, draft, now=START)
    add_feature(session, "models", "models")
    add_plan(session, "free", metered("models", "models", "3"))
    add_customer(session, "acme", "alice")
    subscribe(session, "acme", "free", start=START, now=START)
    for minute, model in enumerate(["a", "b", "a", "b"]):
        use(session, "alice", at(f"2026-01-10T12:3{minute}"), llm={"model": model})
    assert counted(session, at("2026-01-10T12:40")) == "2"


class reads_of_events:  # noqa: N801  # reads like a function where it is used
    """Collect the statements that read raw events."""

    def __init__(self, session: Session) -> None:
        self._bind = session.connection()
        self._statements: list[str] = []

    def __enter__(self) -> list[str]:
        event.listen(self._bind, "before_cursor_execute", self._note)
        return self._statements

    def __exit__(self, *_: object) -> None:
        event.remove(self._bind, "before_cursor_execute", self._note)

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM events" in statement:
            self._statements.append(statement)
