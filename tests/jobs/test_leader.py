"""One process leads; when it is gone, another does."""

from pathlib import Path

from sqlalchemy import text

from tollkeeper.jobs.leader import AdvisoryLock, leadership_of
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database


def test_only_one_leads_until_it_gives_up(database: Database, database_url: str, tmp_path: Path) -> None:
    other_database = Database(open_engine(database_url))
    first, second = leadership_of(database, tmp_path), leadership_of(other_database, tmp_path)
    try:
        assert first.take()
        assert first.take(), "to keep it is to take it again"
        assert not second.take()
        first.give_up()
        assert second.take()
        assert not first.take()
    finally:
        first.give_up()
        second.give_up()
        other_database.dispose()


def test_two_databases_of_one_folder_have_a_leader_each(tmp_path: Path) -> None:
    databases = [Database(open_engine(f"sqlite:///{tmp_path}/{name}.db")) for name in ("a", "b")]
    locks = [leadership_of(database, tmp_path) for database in databases]
    assert all(lock.take() for lock in locks)
    for lock, database in zip(locks, databases, strict=True):
        lock.give_up()
        database.dispose()


def test_a_leader_whose_connection_broke_knows_that_it_leads_no_more(database: Database) -> None:
    if database.engine.dialect.name != "postgresql":
        return
    lock = AdvisoryLock(database)
    assert lock.take()
    with database.transaction() as session:
        session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
                " WHERE locktype = 'advisory' AND datname = current_database()"
            )
        )
    assert not lock.take()
    assert lock.take(), "and may take it anew"
    lock.give_up()
