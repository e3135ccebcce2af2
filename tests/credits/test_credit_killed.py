"""A billing run that dies anywhere draws nothing; the next one draws once."""

import pytest

from tests.jobs.test_kill_and_repeat import kill_at
from tests.scenarios.story import Story
from tollkeeper.invoices.books import check_books
from tollkeeper.storage.session import Database


@pytest.mark.parametrize("statement", range(1, 60, 4))
def test_credit_is_drawn_once_though_the_run_was_killed(database: Database, statement: int) -> None:
    story = Story(
        database,
        """
        plan pro: 20.00 EUR per month
        customer acme in EUR
        2026-01-01 grant acme 12.00 EUR of promotional credit named first with priority 1
        2026-01-01 grant acme 12.00 EUR of paid credit named second
        2026-01-01 acme subscribes to pro
        """,
    )
    with kill_at(database, statement):
        story.close("2026-01-01")
    balance = story.credit("acme", "2026-01-01")
    assert balance == ("4.00" if story.statuses() else "24.00")
    story.go_on("2026-01-01 close period\n2026-01-01 close period")
    assert (story.statuses(), story.credit("acme", "2026-01-01")) == (["paid"], "4.00")
    with database.snapshot() as session:
        assert check_books(session) == []
