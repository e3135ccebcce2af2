"""The ledger never changes: not by hand, and if it did, the books would tell."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.credits.prepaid import add_acme, draw, grant, problems
from tollkeeper.credits.immutable import FIXED_COLUMNS, LIVING_COLUMNS
from tollkeeper.storage.session import Database


@pytest.fixture
def drawn(database: Database) -> Database:
    """A grant of 1.00 of which 0.30 was drawn."""
    with database.transaction() as session:
        add_acme(session)
        grant(session, "welcome", 100)
        draw(session, 30)
    return database


def test_the_database_refuses_a_balance_below_zero(drawn: Database) -> None:
    with pytest.raises(IntegrityError, match="never_below_zero"), drawn.transaction() as session:
        session.execute(text("UPDATE credit_grants SET remaining_minor = -1"))


def test_an_uneven_entry_is_refused_by_postgresql_and_found_on_sqlite(drawn: Database) -> None:
    add = text(
        "INSERT INTO credit_entries SELECT transaction_id, 9, account_id, 5 FROM credit_entries "
        "WHERE account_id = 'invoices:EUR'"
    )
    if drawn.engine.dialect.name == "postgresql":
        with pytest.raises(IntegrityError, match="do not sum to zero"), drawn.transaction() as session:
            session.execute(add)
    else:
        with drawn.transaction() as session:
            session.execute(add)
        with drawn.snapshot() as session:
            assert any("its 3 entries sum to 5" in problem for problem in problems(session))


def test_a_balance_that_is_not_its_account_s_is_found(drawn: Database) -> None:
    with drawn.transaction() as session:
        session.execute(text("UPDATE credit_grants SET remaining_minor = 71"))
    with drawn.snapshot() as session:
        [problem] = problems(session)
    assert "71 is left, its entries sum to 70" in problem


def test_a_lost_transaction_is_found(drawn: Database) -> None:
    with drawn.transaction() as session:
        session.execute(text("UPDATE credit_wallets SET last_sequence = 3"))
    with drawn.snapshot() as session:
        [problem] = problems(session)
    assert "3 transactions were made, 2 are there, up to 2" in problem


def test_every_column_of_a_grant_is_either_its_terms_or_its_life() -> None:
    assert not LIVING_COLUMNS & set(FIXED_COLUMNS)
    assert {"amount_minor", "currency", "priority", "expires_at", "kind"} <= set(FIXED_COLUMNS)
