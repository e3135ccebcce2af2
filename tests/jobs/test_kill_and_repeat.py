"""A refresh that dies anywhere leaves nothing behind; the next one does all of it, once."""

from typing import Any

import pytest
from sqlalchemy import event, select

from tests.shop import add_customer, add_feature, add_plan, at, metered, use
from tollkeeper.entitlements.feed import verdict_feed
from tollkeeper.entitlements.refresh import refresh_verdicts
from tollkeeper.notifications.tables import Notification
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import subscribe

NOW = at("2026-01-10T12:00")


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("statement", range(1, 30, 3))
def test_a_refresh_killed_at_any_statement_is_done_once_by_the_next(database: Database, statement: int) -> None:
    with database.transaction() as session:
        add_feature(session, "calls")
        add_plan(session, "free", metered("calls", "calls", "10"))
        add_customer(session, "acme", "alice")
        subscribe(session, "acme", "free", start=at("2026-01-01"), now=NOW)
    with database.transaction() as session:
        refresh_verdicts(session, now=NOW)
    with database.transaction() as session:
        use(session, "alice", NOW, 10)
    with kill_at(database, statement):
        refresh(database)
    refresh(database)
    with database.snapshot() as session:
        (subject,) = verdict_feed(session, None).subjects
        kinds = sorted(session.scalars(select(Notification.kind)))
    assert [(limit["state"], limit["used"]) for limit in subject["limits"]] == [("deny", "10")]
    assert kinds == ["entitlement.exhausted", "entitlement.threshold_reached", "entitlement.threshold_reached"]


def refresh(database: Database) -> None:
    with database.transaction() as session:
        refresh_verdicts(session, now=NOW)


class kill_at:  # noqa: N801  # reads like a function where it is used
    """Raise Killed before the n-th statement, and swallow it outside."""

    def __init__(self, database: Database, statement: int) -> None:
        self._engine = database.engine
        self._left = statement

    def __enter__(self) -> None:
        event.listen(self._engine, "before_cursor_execute", self._count)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        event.remove(self._engine, "before_cursor_execute", self._count)
        return kind is Killed

    def _count(self, *_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed
