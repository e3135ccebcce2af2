"""The test clock: moves only when it was opened, never back, and does on the way what would have been done."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.shop import add_customer, add_feature, add_plan, flat, metered, use
from tollkeeper.clock import ShiftedClock
from tollkeeper.errors import Conflict, InvalidInput, NotAllowed
from tollkeeper.invoices.tables import Invoice
from tollkeeper.jobs.advance import advance_clock
from tollkeeper.jobs.context import JobContext
from tollkeeper.jobs.runner import Job
from tollkeeper.notifications.tables import Notification
from tollkeeper.storage.session import Database
from tollkeeper.storage.test_clock import OffsetReader, open_clock, open_test_clock
from tollkeeper.subscriptions.subscribe import subscribe

HOUR = timedelta(hours=1)


@pytest.fixture
def offset(database: Database) -> OffsetReader:
    return OffsetReader(database)


@pytest.fixture
def context(database: Database, offset: OffsetReader, tmp_path: Path) -> JobContext:
    return JobContext(database=database, clock=ShiftedClock(offset), data_dir=tmp_path, grace=timedelta(0))


def open_it(database: Database) -> None:
    with database.transaction() as session:
        open_test_clock(session)


def test_a_closed_clock_does_not_move(context: JobContext, offset: OffsetReader) -> None:
    with pytest.raises(NotAllowed, match="TOLLKEEPER_TEST_CLOCK"):
        advance_clock(context, offset, datetime.now(UTC) + HOUR)


def test_time_goes_forward_and_on(database: Database, context: JobContext, offset: OffsetReader) -> None:
    open_it(database)
    to = datetime.now(UTC) + timedelta(days=400)
    advance_clock(context, offset, to)
    first = context.clock.now()
    assert timedelta(0) <= first - to < timedelta(minutes=1)
    assert context.clock.now() > first


def test_time_never_goes_back(database: Database, context: JobContext, offset: OffsetReader) -> None:
    open_it(database)
    advance_clock(context, offset, datetime.now(UTC) + timedelta(days=2))
    with pytest.raises(InvalidInput, match="never goes backwards"):
        advance_clock(context, offset, datetime.now(UTC) + timedelta(days=1))


def test_a_server_without_the_test_clock_refuses_a_database_whose_time_was_advanced(
    database: Database, context: JobContext, offset: OffsetReader
) -> None:
    open_it(database)
    open_clock(database, is_test_clock=False)
    advance_clock(context, offset, datetime.now(UTC) + HOUR)
    with pytest.raises(Conflict, match="was advanced"):
        open_clock(database, is_test_clock=False)
    assert open_clock(database, is_test_clock=True).clock.now() > datetime.now(UTC) + HOUR / 2


def test_what_falls_due_on_the_way_is_done_in_order_at_its_time(
    database: Database, context: JobContext, offset: OffsetReader
) -> None:
    """
    plan pro: 20.00 USD a month in advance, 10 calls a month
    the 10 calls are used in the first month; then three months are advanced at once
    """
    open_it(database)
    start = context.clock.now()
    with database.transaction() as session:
        add_feature(session, "calls")
        add_plan(session, "pro", flat(), metered("calls", "calls", "10"))
        add_customer(session, "acme", "alice")
        subscription = subscribe(session, "acme", "pro", start=start, now=start)
        use(session, "alice", start + timedelta(milliseconds=1), 10)
    advance_clock(context, offset, start + timedelta(days=95))
    with database.snapshot() as session:
        invoices = session.scalars(select(Invoice).order_by(Invoice.issued_at)).all()
        told = session.scalars(select(Notification).order_by(Notification.happened_at)).all()
        subscription = session.merge(subscription, load=False)
    assert [invoice.total_minor for invoice in invoices] == [2000, 2000, 2000, 2000]
    gaps = [(invoice.issued_at - start).days for invoice in invoices if invoice.issued_at]
    assert gaps[0] == 0
    assert all(28 <= later - earlier <= 31 for earlier, later in pairwise(gaps))
    kinds = [one.kind for one in told if one.kind.startswith("entitlement")]
    assert kinds.index("entitlement.exhausted") < kinds.index("entitlement.reset")
    reset_at = next(one.happened_at for one in told if one.kind == "entitlement.reset")
    assert 28 <= (reset_at - start).days <= 31


def test_a_job_that_fails_stops_the_clock_where_it_is(
    database: Database, context: JobContext, offset: OffsetReader
) -> None:
    def fail(_: JobContext) -> int:
        raise RuntimeError("broken")

    open_it(database)
    with pytest.raises(Conflict, match="breaks"):
        advance_clock(context, offset, datetime.now(UTC) + HOUR, timetable=[Job("breaks", 1, fail, "")])
    assert context.clock.now() < datetime.now(UTC) + HOUR / 2
