"""`tollkeeper plan migrate`: preview and run, on the machine's own time."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from tests.shop import add_customer, add_plan, flat
from tollkeeper.cli import main
from tollkeeper.clock import SystemClock
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database
from tollkeeper.subscriptions.subscribe import subscribe
from tollkeeper.subscriptions.tables import SubscriptionTerm


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_plan_s_subscriptions_are_previewed_moved_and_moved_no_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tollkeeper.db")
    run("plan", "list")
    database = Database(open_engine(f"sqlite:///{tmp_path}/tollkeeper.db"))
    now = SystemClock().now()
    start = datetime(now.year, now.month, 1, tzinfo=UTC)
    with database.transaction() as session:
        add_plan(session, "pro", flat())
        for key in ("acme", "globex"):
            add_customer(session, key)
            subscribe(session, key, "pro", start=start, now=start)
        add_plan(session, "pro", flat(amount="30.00"))
    looked = run("plan", "migrate", "pro", "--preview")
    # this month and the next by version 1: 40.00; the next by version 2: 50.00
    assert "next invoice of acme 40.00 -> 50.00, a whole period 20.00 -> 30.00 USD" in looked
    assert looked.endswith("plan pro: 2 subscriptions would be moved\n")
    assert run("plan", "migrate", "pro") == "plan pro: 2 subscriptions were moved\n"
    assert run("plan", "migrate", "pro") == "plan pro: 0 subscriptions were moved\n"
    with database.snapshot() as session:
        assert len(session.scalars(select(SubscriptionTerm)).all()) == 4
    database.dispose()
