"""Writers of one process take turns on SQLite without sleeping, and are told when it takes too long."""

import threading
from pathlib import Path

import pytest

from tollkeeper.errors import Unavailable
from tollkeeper.storage import session as storage_session
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(open_engine(f"sqlite:///{tmp_path / 'turns.db'}"))
    with database.transaction() as session:
        session.connection().exec_driver_sql("CREATE TABLE counted (number INTEGER)")
    return database


def test_many_writers_of_a_process_all_get_their_turn(database: Database) -> None:
    def write() -> None:
        for number in range(20):
            with database.transaction() as session:
                session.connection().exec_driver_sql("INSERT INTO counted VALUES (?)", (number,))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.snapshot() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM counted").scalar() == 80
    database.dispose()


def test_a_writer_that_waits_too_long_is_told_to_come_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_session, "BUSY_TIMEOUT_SECONDS", 0.05)
    told: list[bool] = []

    def write() -> None:
        with pytest.raises(Unavailable), database.transaction():
            pass
        told.append(True)

    with database.transaction():
        second = threading.Thread(target=write)
        second.start()
        second.join()
    assert told == [True]
    with database.transaction():
        pass
    database.dispose()
