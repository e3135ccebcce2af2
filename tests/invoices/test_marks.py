"""Billed periods that nothing came to are not read again; what came late or was mapped late is found all the same."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, event

from tests.scenarios.story import Story
from tollkeeper.customers.map_consumer import map_consumer, remap_consumer
from tollkeeper.invoices.tables import UsageMark
from tollkeeper.metering.event import microseconds_of
from tollkeeper.storage.session import Database

MONTHS = """
    plan payg: 0.10 EUR each of calls
    2026-01-01 acme subscribes to payg
    2026-01-10 acme uses 10 calls
    wait 1 hours for late events
    2026-02-01 02:00 close period
    2026-02-10 acme uses 20 calls
    2026-03-01 02:00 close period
    2026-03-10 acme uses 30 calls
"""
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def first_events_read(database: Database, story: Story, text: str) -> list[int]:
    """Return from when on, in microseconds, each statement read events while the story went on."""
    read: list[int] = []

    def look(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM events" in statement:
            values = parameters.values() if isinstance(parameters, dict) else parameters
            read.extend([value for value in values if isinstance(value, int) and value > 10**15][:1])

    event.listen(database.engine, "before_cursor_execute", look)
    try:
        story.close(text)
    finally:
        event.remove(database.engine, "before_cursor_execute", look)
    return read


def test_a_quiet_history_is_not_read_again(database: Database) -> None:
    story = Story(database, MONTHS)
    assert first_events_read(database, story, "2026-04-01 02:00") == [microseconds_of(MARCH)]
    assert story.lines == ["30 calls 3.00 EUR"]


def test_usage_that_comes_months_late_is_billed_on_the_next_invoice(database: Database) -> None:
    story = Story(database, MONTHS)
    story.go_on("2026-03-20 acme uses 5 calls on 2026-01-15\n2026-04-01 02:00 close period")
    assert story.lines == ["late 5 calls 0.50 EUR", "30 calls 3.00 EUR"]


def test_usage_in_the_hour_of_the_periods_end_is_not_forgotten(database: Database) -> None:
    story = Story(database, MONTHS)
    story.go_on("2026-03-20 acme uses 5 calls on 2026-02-28 23:59:59\n2026-04-01 02:00 close period")
    assert story.lines == ["late 5 calls 0.50 EUR", "30 calls 3.00 EUR"]


def test_usage_that_was_nobodys_is_billed_when_its_consumer_is_mapped(database: Database) -> None:
    story = Story(database, MONTHS)
    story.go_on("2026-03-20 nobody uses 5 calls on 2026-01-15\n2026-03-21 02:00 close period")
    with database.transaction() as session:
        map_consumer(session, "acme", "subject", "user:nobody", since=datetime(2026, 1, 1, tzinfo=UTC), now=MARCH)
    story.go_on("2026-04-01 02:00 close period")
    assert story.lines == ["late 5 calls 0.50 EUR", "30 calls 3.00 EUR"]


def test_usage_that_moves_with_its_consumer_is_given_back_and_billed_to_whose_it_is(database: Database) -> None:
    """acme's invoices stay; from February on all of it is globex's: 20 calls that were billed, 30 that were not."""
    story = Story(database, MONTHS)
    story.go_on("2026-03-11 globex subscribes to payg from 2026-01-01\n2026-03-12 02:00 close period")
    with database.transaction() as session:
        remap_consumer(session, "globex", "subject", "user:acme", since=datetime(2026, 2, 1, tzinfo=UTC), now=MARCH)
    story.go_on("2026-04-01 02:00 close period")
    assert story.invoices == ["INV-000003 globex 5.00 EUR"]
    assert story.lines == ["late 20 calls 2.00 EUR", "30 calls 3.00 EUR"]
    story.go_on("2026-04-10 acme uses 50 calls on 2026-01-20\n2026-05-01 02:00 close period")
    assert story.invoices == ["INV-000004 acme 3.00 EUR"]  # 5.00 less 2.00, which waited for more than nothing
    assert sorted(story.lines) == ["late -20 calls -2.00 EUR", "late 50 calls 5.00 EUR"]


def test_without_its_mark_a_subscription_is_read_from_its_beginning(database: Database) -> None:
    story = Story(database, MONTHS)
    with database.transaction() as session:
        session.execute(delete(UsageMark))
    story.go_on("2026-03-20 acme uses 5 calls on 2026-01-15\n2026-04-01 02:00 close period")
    assert story.lines == ["late 5 calls 0.50 EUR", "30 calls 3.00 EUR"]
