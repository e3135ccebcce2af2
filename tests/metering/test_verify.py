"""The digests of the audit: whatever is done to a stored event, verifying tells; what comes late, it accepts."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.digests import DIGEST_BYTES, event_digest, fold_digests
from tollkeeper.metering.event import Event
from tollkeeper.metering.find_twice import IdLedger
from tollkeeper.metering.findings import Finding, Kind, Range, Verified
from tollkeeper.metering.verify import verify_events, whole_range

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=3)
FIRST_OF_MARCH = 20513  # days since 1970
Make = Callable[..., Event]
LLM = {"llm": {"model": "gpt-4o", "input_tokens": 100, "output_tokens": 10, "cost": "0.5"}, "bytes": {"response": 300}}


def verify(session: Session, wanted: Range | None = None) -> tuple[list[Finding], Verified]:
    session.flush()
    done = Verified()
    return list(verify_events(session, wanted or whole_range(session), done, lambda _: None)), done


def kinds(session: Session) -> set[Kind]:
    return {finding.kind for finding in verify(session)[0]}


@pytest.fixture
def stored(session: Session, kong_event: Make) -> Session:
    """Twenty events of two subjects, one of them odd and one of another type."""
    batch = [kong_event(number, number, f"consumer:{number % 2}", **LLM) for number in range(18)]
    batch.append(kong_event(18, 18, "consumer:1", bytes={"response": "1.5"}))
    batch.append(Event(id="own", source="app", type="job.done", subject="consumer:0", time=NOW, data={"minutes": 3}))
    assert accept_events(session, batch[:7], now=NOW).accepted == 7
    assert accept_events(session, batch[7:], now=NOW).accepted == 13
    return session


@pytest.mark.parametrize("is_folded", [False, True])
def test_what_was_accepted_verifies(stored: Session, is_folded: bool) -> None:
    if is_folded:
        assert (fold_digests(stored), fold_digests(stored)) == (2, 0)
    findings, done = verify(stored)
    assert findings == []
    assert (done.events, done.subject_days, done.late) == (20, 2, {})


def test_repeats_change_no_digest(stored: Session, kong_event: Make) -> None:
    repeats = [kong_event(number, number, f"consumer:{number % 2}", **LLM) for number in range(18)]
    assert accept_events(stored, repeats, now=LATER).duplicates == 18
    assert verify(stored)[0] == []


def test_an_event_that_comes_late_is_growth_and_no_difference(stored: Session, kong_event: Make) -> None:
    fold_digests(stored)
    accept_events(stored, [kong_event(99, 5, "consumer:1")], now=LATER)
    findings, done = verify(stored)
    assert findings == []
    assert done.late == {(FIRST_OF_MARCH, FIRST_OF_MARCH + 3): 1}


TAMPERING = {
    "payload": ("UPDATE events SET payload = :payload WHERE id_key = :key", {Kind.CHANGED, Kind.TOTAL}),
    "time": ("UPDATE events SET time_us = time_us + 1 WHERE id_key = :key", {Kind.CHANGED}),
    "source": ("UPDATE event_sources SET source = 'kong/other' WHERE source = 'kong/node-7'", {Kind.CHANGED}),
    "loss": ("DELETE FROM events WHERE id_key = :key", {Kind.LOST, Kind.TOTAL}),
    "all lost": ("DELETE FROM events", {Kind.LOST, Kind.TOTAL}),
    "id": ("UPDATE events SET id_key = :other WHERE id_key = :key", {Kind.CHANGED}),
    "id text": ("UPDATE events SET id_text = 'mine' WHERE id_text = 'own'", {Kind.CHANGED}),
    "addition": (
        (
            "INSERT INTO events (time_us, source_id, id_key, set_id, id_text, payload)"
            " SELECT time_us, source_id, :other, set_id, id_text, payload FROM events WHERE id_key = :key"
        ),
        {Kind.ADDED, Kind.TOTAL},
    ),
    "total": ("UPDATE hourly_totals SET input_tokens = input_tokens + 1", {Kind.TOTAL}),
    "total lost": ("DELETE FROM hourly_totals", {Kind.TOTAL}),
    "odd total": ("DELETE FROM odd_totals", {Kind.TOTAL}),
    "subject": ("UPDATE dimension_sets SET subject_id = (SELECT max(id) FROM subjects)", {Kind.SET, Kind.LOST}),
    "type": ("UPDATE dimension_sets SET event_type = 'free' WHERE event_type = 'job.done'", {Kind.SET, Kind.CHANGED}),
    "payload of another type": (
        "UPDATE events SET payload = :json WHERE id_text = 'own'",
        {Kind.CHANGED},
    ),
    "garbage": ("UPDATE events SET payload = :garbage WHERE id_key = :key", {Kind.CHANGED, Kind.UNREADABLE}),
    "digest": ("DELETE FROM event_digests", {Kind.ADDED}),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_what_is_done_past_the_door_is_found(stored: Session, what: str) -> None:
    fold_digests(stored)
    statement, expected = TAMPERING[what]
    find = "SELECT payload FROM events WHERE id_key = :key"
    key = bytes.fromhex(f"{3:032x}")
    payload = bytes(stored.execute(text(find), {"key": key}).scalar_one())
    # 300 bytes of the answer stand as 0xcd 0x01 0x2c
    values: dict[str, Any] = {
        "key": key,
        "other": bytes.fromhex(f"{77:032x}"),
        "payload": payload.replace(b"\xcd\x01\x2c", b"\xcd\x01\x2d"),
        "json": b'{"minutes":2}',
        "garbage": b"\xc1" + payload[1:],
    }
    assert values["payload"] != payload
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    stored.execute(text(statement), used)
    stored.expire_all()
    assert kinds(stored) >= expected


def test_any_single_changed_byte_of_a_payload_is_found(stored: Session) -> None:
    fold_digests(stored)
    key = bytes.fromhex(f"{4:032x}")
    payload = bytes(stored.execute(text("SELECT payload FROM events WHERE id_key = :key"), {"key": key}).scalar_one())
    update = text("UPDATE events SET payload = :payload WHERE id_key = :key")
    for place in range(len(payload)):
        changed = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
        stored.execute(update, {"payload": changed, "key": key})
        assert Kind.CHANGED in kinds(stored), place
    stored.execute(update, {"payload": payload, "key": key})
    assert verify(stored)[0] == []


def test_a_difference_names_the_subject_and_the_day(stored: Session) -> None:
    stored.execute(text("DELETE FROM events WHERE id_key = :key"), {"key": bytes.fromhex(f"{3:032x}")})
    lost = [finding for finding in verify(stored)[0] if finding.kind == Kind.LOST]
    assert lost == [Finding(Kind.LOST, FIRST_OF_MARCH, "consumer:1", "10 events were accepted, 9 are there")]


def test_the_same_id_under_another_time_is_found(stored: Session, kong_event: Make) -> None:
    accept_events(stored, [kong_event(3, 600, "consumer:1")], now=NOW)
    (finding,) = verify(stored)[0]
    assert finding.kind == Kind.TWICE
    assert "kong/node-7 00000000000000000000000000000003 is stored under 2026-03-01T00:03:00+00:00" in finding.detail


def test_a_range_looks_at_its_days_and_subjects_only(stored: Session, kong_event: Make) -> None:
    accept_events(stored, [kong_event(50, 60 * 24, "consumer:1")], now=LATER)
    stored.execute(text("DELETE FROM events WHERE id_key = :key"), {"key": bytes.fromhex(f"{3:032x}")})
    assert verify(stored, Range(FIRST_OF_MARCH + 1, FIRST_OF_MARCH + 2))[0] == []
    assert verify(stored, Range(FIRST_OF_MARCH, FIRST_OF_MARCH + 1, ["consumer:0"]))[0] == []
    assert {one.kind for one in verify(stored, Range(FIRST_OF_MARCH, FIRST_OF_MARCH + 1, ["consumer:1"]))[0]} == {
        Kind.LOST,
        Kind.TOTAL,
    }


def test_the_order_and_the_batches_of_arrival_change_no_digest(session: Session, kong_event: Make) -> None:
    events = [kong_event(number, number * 90, f"consumer:{number % 5}", **LLM) for number in range(40)]
    chosen = random.Random(7)
    for _ in range(3):
        chosen.shuffle(events)
        for start in range(0, 40, 9):
            accept_events(session, events[start : start + 9], now=LATER)
            if chosen.random() < 0.3:
                fold_digests(session)
    findings, done = verify(session)
    assert (findings, done.events) == ([], 40)


def test_the_parts_of_an_event_cannot_flow_into_each_other() -> None:
    base = (1, b"ab", b"k" * 16, "c", b"s" * 32, b"p")
    others = [
        (1, b"a", b"k" * 16, "bc", b"s" * 32, b"p"),
        (1, b"ab", b"k" * 16, None, b"s" * 32, b"cp"),
        (1, b"ab", b"k" * 16, "", b"s" * 32, b"p"),
        (2, b"ab", b"k" * 16, "c", b"s" * 32, b"p"),
    ]
    digests = {event_digest(*event) for event in [base, *others]}
    assert len(digests) == 5
    assert all(digest >> 8 * DIGEST_BYTES == 0 for digest in digests)


def test_ids_that_differ_are_not_taken_for_one() -> None:
    with IdLedger() as ledger:
        for number in range(2_000):
            ledger.add(number, number % 2, bytes([number % 256]) + number.to_bytes(15, "big"))
        ledger.add(5, 1, bytes([8]) + (8).to_bytes(15, "big"))
        assert list(ledger.find_twice()) == []
        ledger.add(6, 0, bytes([8]) + (8).to_bytes(15, "big"))
        assert [(one.first_us, one.second_us) for one in ledger.find_twice()] == [(6, 8)]
