"""Raw events are dropped when no invoice can need them, never counted again, and what is left still proves itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, event, func, select, text

from tests.scenarios.story import Story
from tests.shop import add_customer, at, use
from tollkeeper.invoices.forget import forget_person
from tollkeeper.invoices.retention import DropReport, drop_old_events
from tollkeeper.invoices.tables import Invoice, UsageMark
from tollkeeper.invoices.verify import Verdict, verify_invoice
from tollkeeper.metering.accept import accept_events
from tollkeeper.metering.digests import fold_digests
from tollkeeper.metering.event import Event
from tollkeeper.metering.export_days import State, check_days, export_days, note_export
from tollkeeper.metering.findings import Finding, Verified
from tollkeeper.metering.forget_person import Person
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.meters import MeterDraft, create_meter
from tollkeeper.metering.retention_bound import RawEventsDropped
from tollkeeper.metering.tables import StoredEvent
from tollkeeper.metering.verify import verify_events, whole_range
from tollkeeper.storage.session import Database
from tollkeeper.usage.unmapped import unmapped_usage

GRACE = timedelta(hours=1)
STORY = """
    plan payg: 0.10 EUR each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 10 calls
    wait 1 hours for late events
    2026-02-01 02:00 close period
    2026-02-10 acme uses 20 calls
    2026-03-01 02:00 close period
    2026-03-10 acme uses 30 calls
"""
JAN_10, FEB_10, MAR_10 = ((at(day) - at("1970-01-01")).days for day in ("2026-01-10", "2026-02-10", "2026-03-10"))


def drop(database: Database, now: str, keep_days: int = 10, *, only_exported: bool = False) -> DropReport:
    when = at(now)
    return drop_old_events(database, keep_days=keep_days, only_exported=only_exported, now=when, grace=GRACE)


def days_left(database: Database) -> list[int]:
    with database.snapshot() as session:
        return sorted({time_us // 86_400_000_000 for time_us in session.scalars(select(StoredEvent.time_us))})


def verify(database: Database) -> tuple[list[Finding], Verified]:
    done = Verified()
    with database.snapshot() as session:
        return list(verify_events(session, whole_range(session), done, lambda _: None)), done


def verdicts(database: Database) -> list[Verdict]:
    with database.snapshot() as session:
        numbers = session.scalars(select(Invoice.id).order_by(Invoice.number)).all()
        return [verify_invoice(session, number)[1].verdict for number in numbers]


def test_what_no_invoice_needs_is_dropped_and_the_running_month_stays(database: Database) -> None:
    Story(database, STORY)
    assert drop(database, "2026-03-20").dropped == [JAN_10, FEB_10]
    assert days_left(database) == [MAR_10]


def test_a_period_that_may_still_get_late_events_is_needed_as_a_whole(database: Database) -> None:
    Story(database, STORY)
    # Events since the 23rd of February are still taken, so all of February may be counted again.
    assert drop(database, "2026-03-05").dropped == [JAN_10]
    assert days_left(database) == [FEB_10, MAR_10]


def test_what_is_not_billed_yet_is_needed(database: Database) -> None:
    Story(database, STORY.partition("    2026-02-01 02:00 close")[0])
    assert drop(database, "2026-03-20").dropped == []


def test_nothing_is_dropped_within_the_grace_period_of_an_invoice(database: Database) -> None:
    Story(database, STORY.partition("    2026-02-01 02:00 close")[0] + "    2026-03-20 close period")
    assert drop(database, "2026-03-20").dropped == []
    assert drop(database, "2026-03-20T02:00").dropped == [JAN_10]


def test_what_was_dropped_is_told_and_is_no_difference(database: Database) -> None:
    Story(database, STORY)
    drop(database, "2026-03-20")
    findings, done = verify(database)
    assert findings == []
    assert (done.events, done.dropped_days, done.dropped_events) == (1, 2, 2)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE event_digests SET events = events + 1", "changed"),
        ("UPDATE hourly_totals SET events = events + 1", "total"),
        ("DELETE FROM hourly_totals", "total"),
    ],
)
def test_a_digest_or_total_that_is_changed_after_the_drop_is_found(
    database: Database, statement: str, kind: str
) -> None:
    Story(database, STORY)
    with database.transaction() as session:
        fold_digests(session)
    drop(database, "2026-03-20")
    with database.transaction() as session:
        session.execute(text(statement))
    assert kind in {finding.kind for finding in verify(database)[0] if finding.day in {JAN_10, FEB_10}}


def test_an_event_that_is_put_back_past_the_door_is_found(database: Database) -> None:
    Story(database, STORY)
    with database.transaction() as session:
        rows = session.execute(text("SELECT * FROM events ORDER BY time_us LIMIT 1")).mappings().one()
    drop(database, "2026-03-20")
    with database.transaction() as session:
        names = ", ".join(rows)
        values = ", ".join(f":{name}" for name in rows)
        moved = dict(rows) | {"time_us": rows["time_us"] + 1}
        session.execute(text(f"INSERT INTO events ({names}) VALUES ({values})"), moved)
    assert [(one.kind, one.day) for one in verify(database)[0]] == [("total", JAN_10), ("changed", JAN_10)]


def test_an_issued_invoice_says_what_it_can_still_prove(database: Database) -> None:
    Story(database, STORY)
    assert verdicts(database) == [Verdict.EQUAL, Verdict.EQUAL]
    drop(database, "2026-03-20")
    assert verdicts(database) == [Verdict.DROPPED, Verdict.DROPPED]


def test_the_next_run_corrects_nothing_that_it_cannot_count(database: Database) -> None:
    story = Story(database, STORY)
    drop(database, "2026-03-20")
    with database.transaction() as session:
        session.execute(delete(UsageMark))
    story.go_on("2026-04-01 02:00 close period")
    assert story.lines == ["30 calls 3.00 EUR"]


def test_a_repeat_of_a_dropped_event_is_refused_with_the_reason(database: Database) -> None:
    repeats = [
        Event(id=f"{number:032x}", source="s", type="kong.request", subject="u", time=at(when), data={"status": 200})
        for number, when in ((1, "2026-01-10"), (2, "2026-03-15"))
    ]
    with database.transaction() as session:
        assert accept_events(session, repeats, now=at("2026-03-16")).accepted == 2
    assert drop(database, "2026-03-20").dropped == [JAN_10]
    with database.transaction() as session:
        answer = accept_events(session, repeats, now=at("2026-03-20"))
    assert (answer.accepted, answer.duplicates) == (0, 1)
    (refused,) = answer.rejected
    assert (refused.index, refused.id) == (0, f"{1:032x}")
    assert refused.error.startswith("/time: is before 2026-03-10: raw events of then may have been dropped")
    assert verify(database)[0] == []


def test_a_repeat_of_a_dropped_event_without_a_time_is_refused_too(database: Database) -> None:
    untimed = Event(id="u", source="s", type="own", subject="u", data={})
    with database.transaction() as session:
        assert accept_events(session, [untimed], now=at("2026-01-10")).accepted == 1
    assert drop(database, "2026-03-20").dropped == [JAN_10]
    with database.transaction() as session:
        answer = accept_events(session, [untimed], now=at("2026-03-20"))
    assert (answer.accepted, answer.duplicates, len(answer.rejected)) == (0, 0, 1)


def test_the_bound_never_goes_back(database: Database) -> None:
    drop(database, "2026-03-20", keep_days=10)
    drop(database, "2026-03-20", keep_days=100)
    old = Event(id="x", source="s", type="own", subject="u", time=at("2026-03-09"), data={})
    with database.transaction() as session:
        assert len(accept_events(session, [old], now=at("2026-03-20")).rejected) == 1


def test_only_days_that_are_exported_as_they_are_now_are_dropped(database: Database, tmp_path: Path) -> None:
    Story(database, STORY)
    report = drop(database, "2026-03-20", only_exported=True)
    assert (report.dropped, report.kept_day) == ([], JAN_10)
    assert report.reason.startswith("it is not exported as it is")
    with database.snapshot() as session:
        for exported in export_days(session, whole_range(session)._replace(end_day=FEB_10), tmp_path):
            with database.transaction() as writing:
                note_export(writing, exported, now=at("2026-03-20"))
    report = drop(database, "2026-03-20", only_exported=True)
    assert (report.dropped, report.kept_day) == ([JAN_10], FEB_10)
    with database.snapshot() as session:
        assert next((one.day, one.state) for one in check_days(session, tmp_path)) == ("2026-01-10", State.EQUAL)
        assert [one.day for one in export_days(session, whole_range(session), tmp_path)] == [FEB_10, MAR_10]


def test_a_day_that_is_not_as_it_was_accepted_stays_as_evidence(database: Database) -> None:
    with database.transaction() as session:
        use(session, "1", at("2026-01-10"), 2)
        session.execute(text("DELETE FROM events WHERE id_key = (SELECT min(id_key) FROM events)"))
    report = drop(database, "2026-03-20")
    assert (report.dropped, report.kept_day) == ([], JAN_10)
    assert report.reason == "2 events were accepted and 1 are there; run `tollkeeper events verify`"


@contextmanager
def killed_before(database: Database, statement: str) -> Iterator[None]:
    """Fail at the first statement that begins so, as a kill would."""

    def fail(_connection: Any, _cursor: Any, executed: str, *_: Any) -> None:
        if executed.lstrip().startswith(statement):
            raise KeyboardInterrupt

    event.listen(database.engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        event.remove(database.engine, "before_cursor_execute", fail)


@pytest.mark.parametrize("statement", ["INSERT INTO retention_bound", "DELETE FROM events", "INSERT INTO dropped_days"])
def test_a_run_that_is_killed_loses_nothing_and_the_next_one_goes_on(database: Database, statement: str) -> None:
    Story(database, STORY)
    with killed_before(database, statement):
        drop(database, "2026-03-20")
    assert verify(database)[0] == []
    assert days_left(database) == [JAN_10, FEB_10, MAR_10]
    assert drop(database, "2026-03-20").dropped == [JAN_10, FEB_10]
    assert drop(database, "2026-03-20").dropped == []


def test_a_number_that_needs_dropped_events_is_refused_not_guessed(database: Database) -> None:
    with database.transaction() as session:
        use(session, "1", at("2026-01-10T12:30"), 2)
        use(session, "1", at("2026-03-15T12:30"), 3)
        draft = MeterDraft(key="slow", name="slow", event_type="kong.request", aggregation="max", value="bytes.request")
        meter = create_meter(session, draft, now=at("2026-01-01"))
    drop(database, "2026-03-20")
    since_march, whole = (Span(None, int(at(day).timestamp()) * 10**6, 2**60) for day in ("2026-03-12", "2026-01-01"))
    with database.snapshot() as session:
        measure(session, Question(meter), [since_march])
        with pytest.raises(RawEventsDropped, match="raw events before 2026-01-11 were dropped"):
            measure(session, Question(meter), [whole])


def test_unmapped_usage_is_what_can_still_be_billed(database: Database) -> None:
    with database.transaction() as session:
        use(session, "1", at("2026-01-10T12:30"), 2)
        use(session, "1", at("2026-03-15T12:30"), 3)
        use(session, "2", at("2026-01-10T12:30"), 5)
    drop(database, "2026-03-20")
    with database.snapshot() as session:
        assert [(one.subject, one.requests) for one in unmapped_usage(session)] == [("consumer:1", 3)]


def test_somebody_can_be_forgotten_after_a_drop(database: Database) -> None:
    Story(database, STORY)
    drop(database, "2026-03-20")
    with database.transaction() as session:
        assert forget_person(session, Person(subjects=["user:acme"]), by="tests", now=at("2026-03-20")).act.events == 1
    assert verify(database)[0] == []
    assert verdicts(database) == [Verdict.DROPPED, Verdict.DROPPED]


def test_with_nothing_stored_nothing_is_dropped(database: Database) -> None:
    with database.transaction() as session:
        add_customer(session, "acme")
        assert session.scalar(select(func.count()).select_from(StoredEvent)) == 0
    assert drop(database, datetime(2026, 3, 20, tzinfo=UTC).date().isoformat()).dropped == []
