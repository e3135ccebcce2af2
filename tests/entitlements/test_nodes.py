"""Nodes report; what is wrong is said; silence is told once."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.shop import at
from tollkeeper.entitlements.nodes import Heartbeat, list_nodes, record_heartbeat, warnings_of, watch_nodes
from tollkeeper.notifications.tables import Notification

NOW = at("2026-01-10T12:00")
WELL = Heartbeat(
    node="node-7",
    version="0.1.0",
    sent_at=NOW,
    enforce="on",
    verdict_cursor="17",
    verdict_age_seconds=1.5,
    spool={"records": 12, "bytes": 6400, "oldest_age_seconds": 0.4},
    counters={"access": 1000, "dropped": 0, "set_aside": 0},
)


def test_a_node_that_is_well_has_no_warnings(session: Session) -> None:
    assert record_heartbeat(session, WELL, now=NOW) == []
    (node,) = list_nodes(session)
    assert (node.node, node.spool["records"], node.warnings, node.silent_since) == ("node-7", 12, [], None)


def test_each_fault_is_named() -> None:
    bad = replace(
        WELL,
        sent_at=NOW + timedelta(seconds=7),
        verdict_age_seconds=300.0,
        spool={"records": 9, "bytes": 9, "oldest_age_seconds": 90.2},
        counters={"dropped": 3, "set_aside": 1},
    )
    assert [warning.partition(":")[0] for warning in warnings_of(bad, now=NOW)] == [
        "late",
        "lost",
        "set aside",
        "old verdicts",
        "clock",
    ]
    assert warnings_of(replace(WELL, verdict_age_seconds=None), now=NOW)[0].startswith("no verdicts")


def test_a_silence_is_told_once_and_again_after_the_node_was_back(session: Session) -> None:
    def told() -> int:
        return len(session.scalars(select(Notification).where(Notification.kind == "node.silent")).all())

    record_heartbeat(session, WELL, now=NOW)
    assert watch_nodes(session, now=NOW + timedelta(seconds=60)) == 0
    assert watch_nodes(session, now=NOW + timedelta(seconds=61)) == 1
    assert watch_nodes(session, now=NOW + timedelta(seconds=62)) == 0
    assert told() == 1
    back = NOW + timedelta(minutes=5)
    record_heartbeat(session, WELL, now=back)
    session.expire_all()
    assert list_nodes(session)[0].silent_since is None
    assert watch_nodes(session, now=back + timedelta(minutes=5)) == 1
    assert told() == 2


def test_a_node_that_is_gone_for_a_month_is_forgotten(session: Session) -> None:
    record_heartbeat(session, WELL, now=NOW)
    watch_nodes(session, now=NOW + timedelta(days=31))
    assert list_nodes(session) == []
