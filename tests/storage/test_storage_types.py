"""Decimals and instants come back as they went in, on both engines; a transaction is whole or not at all."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from sqlalchemy import Column, MetaData, String, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import Session

from tollkeeper.errors import InvalidInput
from tollkeeper.storage.base import ExactDecimal, UtcDateTime
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

ROWS = Table(
    "rows_of_a_test",
    MetaData(),
    Column("name", String, primary_key=True),
    Column("number", ExactDecimal),
    Column("instant", UtcDateTime),
)


@pytest.fixture(autouse=True)
def _table(database: Database) -> None:
    ROWS.create(database.engine)


@pytest.mark.parametrize("number", ["0.1", "123456789012345678901234567890.000000000001", "-7", "0"])
def test_a_decimal_comes_back_exactly(session: Session, number: str) -> None:
    session.execute(insert(ROWS).values(name="a", number=Decimal(number)))
    assert session.execute(select(ROWS.c.number)).scalar_one() == Decimal(number)


def test_a_number_that_is_not_finite_is_refused(session: Session) -> None:
    with pytest.raises(StatementError, match="no finite number"):
        session.execute(insert(ROWS).values(name="a", number=Decimal("NaN")))


def test_an_instant_comes_back_in_utc_and_sorts_as_time(session: Session) -> None:
    early = datetime(2026, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))  # 2026-02-28 23:00 UTC
    late = datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC)
    session.execute(insert(ROWS), [{"name": "late", "instant": late}, {"name": "early", "instant": early}])
    names = session.scalars(select(ROWS.c.name).order_by(ROWS.c.instant)).all()
    assert names == ["early", "late"]
    assert session.scalars(select(ROWS.c.instant).order_by(ROWS.c.instant)).first() == datetime(
        2026, 2, 28, 23, 0, tzinfo=UTC
    )


def test_a_naive_instant_is_refused(session: Session) -> None:
    with pytest.raises(StatementError, match="naive"):
        session.execute(insert(ROWS).values(name="a", instant=datetime(2026, 3, 1)))  # noqa: DTZ001 - that is the test


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def insert_and_fail() -> None:
        with database.transaction() as session:
            session.execute(insert(ROWS).values(name="a"))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        insert_and_fail()
    with database.snapshot() as session:
        assert session.execute(select(func.count()).select_from(ROWS)).scalar_one() == 0


def test_a_snapshot_cannot_change_anything(database: Database) -> None:
    with contextlib.suppress(DBAPIError), database.snapshot() as session:
        session.execute(insert(ROWS).values(name="a"))
    with database.snapshot() as session:
        assert session.execute(select(func.count()).select_from(ROWS)).scalar_one() == 0


def test_sqlite_sums_decimals_exactly() -> None:
    engine = open_engine("sqlite://")
    with engine.connect() as connection:
        total = connection.execute(
            text("SELECT decimal_sum(x), decimal_add('0.1', '0.2') FROM (SELECT '0.1' x UNION ALL SELECT '0.2')")
        ).one()
    engine.dispose()
    assert total == ("0.3", "0.3")


def test_an_error_of_a_statement_does_not_tell_what_it_was_given(database: Database) -> None:
    with pytest.raises(DBAPIError) as raised, database.transaction() as session:
        session.execute(text("INSERT INTO nowhere VALUES (:secret)"), {"secret": "whsec_of_somebody"})
    assert "whsec_of_somebody" not in str(raised.value)


@pytest.mark.parametrize("url", ["mysql://host/name", "no url", ""])
def test_a_database_that_we_do_not_know_is_refused_with_the_fix(url: str) -> None:
    with pytest.raises(InvalidInput, match="DATABASE_URL"):
        open_engine(url)
