"""What ClickHouse is told and how it adds up; the promises of every store are in test_event_stores.py."""

import pytest

from tests.metering.event_stores import NOW, EventStore
from tollkeeper.errors import Conflict, InvalidInput, Unavailable
from tollkeeper.metering.accept import Accepted, accept_events
from tollkeeper.metering.event import Event
from tollkeeper.metering.rows import EventRow
from tollkeeper.metering.stores.archive import (
    NO_MOVE,
    Archive,
    MovedRow,
    Selection,
    Visible,
    attach_archive,
    visible_moves,
)
from tollkeeper.metering.stores.clickhouse_schema import statements
from tollkeeper.metering.stores.locate import open_archive_at
from tollkeeper.metering.stores.move import check_archive, move_all_events, move_events, return_events
from tollkeeper.metering.stores.tables import OPEN, EventMove
from tollkeeper.storage.session import Database

HOUR_US = 3_600_000_000
ROWS = [EventRow(number * HOUR_US // 2, 1, bytes([number]) * 16, 7, None, b"\xff\x00" * number) for number in range(5)]


def moved(rows: list[EventRow]) -> list[MovedRow]:
    return [MovedRow(row, (10, 1, 0, 1 << 53)) for row in rows]


def test_totals_do_not_count_a_move_twice(archive: Archive) -> None:
    for _ in range(3):
        archive.append(1, moved(ROWS))
    assert archive.totals(0, 10, Visible(1)) == {
        (7, 0): (2, 20, 2, 0, 1 << 54),
        (7, 1): (2, 20, 2, 0, 1 << 54),
        (7, 2): (1, 10, 1, 0, 1 << 53),
    }
    assert archive.rows_of_move(1) == ROWS


def test_a_move_that_is_not_done_counts_nowhere(archive: Archive) -> None:
    archive.append(1, moved(ROWS[:3]))
    archive.append(2, moved(ROWS[:4]))
    archive.append(3, moved(ROWS[4:]))
    visible = Visible(2, frozenset({1}))
    assert list(archive.rows(Selection(), visible)) == ROWS[:4]
    assert archive.find([row.key for row in ROWS], visible).keys() == {row.key for row in ROWS[:4]}
    assert archive.bounds(visible) == (0, 3 * HOUR_US // 2)
    assert archive.totals(0, 10, visible)[7, 0][0] == 2
    assert archive.bounds(Visible()) is None


def test_times_before_1970_are_added_up_in_their_hour(archive: Archive) -> None:
    archive.append(1, moved([EventRow(-1, 1, bytes(16), 7, "é", b""), EventRow(-HOUR_US, 1, bytes(16), 7, None, b"")]))
    assert archive.totals(-10, 10, Visible(1)) == {(7, -1): (2, 20, 2, 0, 1 << 54)}


def event(number: int) -> Event:
    return Event(id=str(number), source="s", type="t", subject="s", time=NOW, data=number)


@pytest.fixture
def with_events(database: Database) -> Database:
    with database.transaction() as session:
        accept_events(session, [event(number) for number in range(10)], now=NOW)
    return database


def test_a_move_opened_by_a_process_that_died_is_left_out(with_events: Database, archive: Archive) -> None:
    with with_events.transaction() as session:
        session.add(EventMove(state=OPEN, events=3))
    assert move_events(with_events, archive) == 10
    with with_events.snapshot() as session:
        assert visible_moves(session) == Visible(2, frozenset({1}))


def test_a_copy_that_was_overtaken_says_so_instead_of_done(with_events: Database, archive: Archive) -> None:
    class Overtaken:
        def __getattr__(self, name: str) -> object:
            return getattr(archive, name)

        def append(self, move: int, rows: list[MovedRow]) -> None:
            archive.append(move, rows)
            with with_events.transaction() as session:
                session.add(EventMove(state=OPEN, events=1))

    with pytest.raises(Conflict, match="0 events were moved and some are left"):
        move_all_events(with_events, Overtaken(), progress=print)  # type: ignore[arg-type]  # the rest is handed through
    assert move_all_events(with_events, archive, progress=print) == 10


def test_a_slow_mover_gives_way_to_a_later_one(with_events: Database, archive: Archive) -> None:
    class Overtaken:
        def __getattr__(self, name: str) -> object:
            return getattr(archive, name)

        def rows_of_move(self, move: int) -> list[EventRow]:
            found = archive.rows_of_move(move)
            assert move != 1 or move_events(with_events, archive) == 10
            return found

    assert move_events(with_events, Overtaken()) == 0  # type: ignore[arg-type]  # the rest is handed through
    attach_archive(with_events.engine, archive)
    with with_events.snapshot() as session:
        assert visible_moves(session) == Visible(2, frozenset({1}))
    done, found = EventStore(Database(with_events.engine), archive).verify()
    assert (done.events, found) == (10, [])


def test_a_mover_that_begins_while_another_ends_hides_none_of_its_events(
    with_events: Database, archive: Archive
) -> None:
    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(archive, name)

        def rows_of_move(self, move: int) -> list[EventRow]:
            if move == NO_MOVE:
                assert move_events(with_events, archive) == 10
            return archive.rows_of_move(move)

    assert move_events(with_events, Slow()) == 0  # type: ignore[arg-type]  # the rest is handed through
    attach_archive(with_events.engine, archive)
    store = EventStore(Database(with_events.engine), archive)
    done, found = store.verify()
    assert (done.events, found) == (10, [])
    assert store.take([event(3)]) == Accepted(0, 1, ())


def test_an_archive_that_gives_back_something_else_is_not_trusted(with_events: Database, archive: Archive) -> None:
    class Forgetful:
        def __getattr__(self, name: str) -> object:
            return getattr(archive, name)

        def append(self, move: int, rows: list[MovedRow]) -> None:
            archive.append(move, rows[:-1])

    with pytest.raises(Unavailable, match="nothing was moved"):
        move_events(with_events, Forgetful())  # type: ignore[arg-type]  # the rest is handed through
    assert EventStore(with_events, None).verify()[0].events == 10


def test_events_come_back_into_the_database(with_events: Database, archive: Archive) -> None:
    assert [move_events(with_events, archive, most=6) for _ in range(3)] == [6, 4, 0]
    with with_events.snapshot() as session, pytest.raises(Unavailable, match="EVENTS_URL is not set"):
        check_archive(session, None)
    assert [return_events(with_events, archive) for _ in range(3)] == [6, 4, 0]
    done, found = EventStore(with_events, None).verify()
    assert (done.events, found) == (10, [])
    with with_events.snapshot() as session:
        check_archive(session, None)


def test_another_clickhouse_is_refused(with_events: Database, archive: Archive) -> None:
    move_events(with_events, archive)

    class Empty:
        def rows_of_move(self, move: int) -> list[EventRow]:
            return []

    with with_events.snapshot() as session, pytest.raises(Unavailable, match="another ClickHouse"):
        check_archive(session, Empty())  # type: ignore[arg-type]  # it is asked for nothing else


@pytest.mark.parametrize("url", ["kafka://here", "clickhouse://here/no-name; DROP"])
def test_another_url_is_refused_by_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(InvalidInput, match="/EVENTS_URL"):
        open_archive_at(url)


def test_a_cluster_gets_replicated_and_sharded_tables() -> None:
    told = statements("usage", "main")
    assert all("ON CLUSTER 'main'" in statement for statement in told)
    assert "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/usage/events_here', '{replica}', move)" in told[1]
    assert told[4].endswith("ENGINE = Distributed('main', 'usage', 'events_here', intHash64(set_id))")
    assert "TO usage.event_totals_here" in told[3]
    assert "FROM usage.events_here" in told[3]
