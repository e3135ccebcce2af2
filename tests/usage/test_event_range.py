"""The proof behind a line counts the same events as the line, and breaks with any change of them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tollkeeper.customers.customers import get_customer
from tollkeeper.usage.event_range import EventRange, event_range_of
from tollkeeper.usage.usage_of import usage_of

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
Send = Callable[..., None]


def prove(session: Session, feature: str = "calls") -> EventRange:
    return event_range_of(session, get_customer(session, "acme").id, feature, MARCH, APRIL)


def test_the_proof_counts_the_events_that_the_usage_counts(session: Session, acme: str, send: Send) -> None:
    send("alice", 3, hours=2, llm={"input_tokens": 1, "output_tokens": 1})
    send("alice", 2, hours=50)
    send("alice", 1, hours=60, refused={"code": "quota_exhausted"})
    send("bob", 4)
    customer_id = get_customer(session, acme).id
    for feature, last in (
        ("calls", MARCH + timedelta(hours=50, minutes=1)),
        ("tokens", MARCH + timedelta(hours=2, minutes=2)),
    ):
        proof = prove(session, feature)
        assert proof.count == usage_of(session, customer_id, feature, MARCH, APRIL).event_count
        assert (proof.first_time, proof.last_time) == (MARCH + timedelta(hours=2), last)


def test_no_event_is_a_proof_of_nothing(session: Session, acme: str) -> None:
    proof = prove(session)
    assert (proof.first_time, proof.last_time, proof.count) == (None, None, 0)
    # SHA-256 of no bytes.
    assert proof.digest == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.usefixtures("acme")
def test_events_that_came_in_another_order_have_one_digest(session: Session, send: Send) -> None:
    send("alice", 4, hours=1, bytes={"response": 5})
    before = prove(session)
    send("bob", 2)
    assert prove(session) == before


@pytest.mark.parametrize(
    "change",
    [
        # The last byte of an event's payload: bytes.response from 5 to 6.
        "UPDATE events SET payload = {last_byte_6} WHERE id_key = (SELECT max(id_key) FROM events)",
        "UPDATE events SET time_us = time_us + 1 WHERE id_key = (SELECT max(id_key) FROM events)",
        "UPDATE events SET id_text = 'other' WHERE id_key = (SELECT max(id_key) FROM events)",
        "DELETE FROM events WHERE id_key = (SELECT max(id_key) FROM events)",
        "UPDATE event_sources SET source = 'kong/other'",
    ],
)
@pytest.mark.usefixtures("acme")
def test_a_changed_or_lost_event_breaks_the_digest(session: Session, send: Send, change: str) -> None:
    send("alice", 4, bytes={"response": 5})
    before = prove(session)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    last_byte_6 = (
        "CAST(substr(payload, 1, length(payload) - 1) || x'06' AS BLOB)"
        if is_sqlite
        else r"set_byte(payload, length(payload) - 1, 6)"
    )
    session.execute(text(change.replace("{last_byte_6}", last_byte_6)))
    session.expire_all()
    assert prove(session).digest != before.digest
