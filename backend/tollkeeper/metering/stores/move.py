"""Move raw events from the SQL database to the archive, and back; each step survives a kill before and after it."""

from collections.abc import Callable, Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict, Unavailable
from tollkeeper.metering.read import sets_by_id
from tollkeeper.metering.recount import Unreadable, counts_of
from tollkeeper.metering.rows import EventRow
from tollkeeper.metering.stores.append import delete_rows
from tollkeeper.metering.stores.archive import NO_MOVE, Archive, MovedRow
from tollkeeper.metering.stores.tables import DONE, OPEN, RETURNED, EventMove
from tollkeeper.metering.tables import StoredEvent
from tollkeeper.storage.locks import wait_for_turn
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import insert_into

MOST_MOVED = 20_000
TURN = "event_moves"
KEY = (StoredEvent.time_us, StoredEvent.source_id, StoredEvent.id_key)


def move_events(database: Database, archive: Archive, *, most: int = MOST_MOVED) -> int:
    """Move the oldest events, read them back, and only then take them out of the SQL database; return how many.

    Nothing is lost or counted twice if this ends at any point: until the last commit the rows in the archive count
    for nobody. Raises Unavailable if the archive does not give back what it was given; then nothing was moved.
    """
    with database.snapshot() as session:
        if not _oldest(session, 1):
            return 0
    # While the archive is away, no move is opened that would stay open for ever.
    archive.rows_of_move(NO_MOVE)
    with database.transaction() as session:
        wait_for_turn(session, TURN)
        # Not before our turn: rows that another move has taken away since would be in two, of which the later one,
        # never done, would hide the other in the archive.
        rows = _oldest(session, most)
        if not rows:
            return 0
        move = EventMove(state=OPEN, events=len(rows))
        session.add(move)
        session.flush()
        number = move.id
    with database.snapshot() as session:
        moved = _counted(session, rows)
    archive.append(number, moved)
    if archive.rows_of_move(number) != list(rows):
        raise Unavailable(f"the event archive does not give back move {number} as it was stored; nothing was moved")
    with database.transaction() as session:
        wait_for_turn(session, TURN)
        if not _is_newest(session, number):
            return 0
        gone = delete_rows(session, [row.key for row in rows])
        if gone != len(rows):
            raise Unavailable(f"{len(rows) - gone} events of move {number} changed meanwhile; it begins anew")
        session.execute(update(EventMove).where(EventMove.id == number).values(state=DONE))
    return len(rows)


def move_all_events(database: Database, archive: Archive, *, progress: Callable[[int], None]) -> int:
    """Move every event, telling how many so far; return how many.

    Raises Conflict if some are left since another process moves or accepts events: nothing is lost, run it again.
    """
    count = 0
    while moved := move_events(database, archive):
        count += moved
        progress(count)
    with database.snapshot() as session:
        if _oldest(session, 1):
            raise Conflict(
                f"{count} events were moved and some are left: another process moves or accepts events, too; "
                "stop the server and run it again"
            )
    return count


def return_events(database: Database, archive: Archive) -> int:
    """Bring the events of one move back into the SQL database; return how many, 0 when none is left to bring."""
    with database.transaction() as session:
        wait_for_turn(session, TURN)
        move = session.scalar(select(EventMove).where(EventMove.state == DONE).order_by(EventMove.id).limit(1))
        if move is None:
            return 0
        rows = archive.rows_of_move(move.id)
        if len(rows) != move.events:
            raise Unavailable(f"the event archive holds {len(rows)} of the {move.events} events of move {move.id}")
        session.execute(insert_into(session, StoredEvent), [row._asdict() for row in rows])
        move.state = RETURNED
    return len(rows)


def check_archive(session: Session, archive: Archive | None) -> None:
    """Raise Unavailable if events were moved to an archive that is not this one: they would be missing."""
    newest = session.execute(
        select(EventMove.id, EventMove.events).where(EventMove.state == DONE).order_by(EventMove.id.desc()).limit(1)
    ).first()
    if newest is None:
        return
    if archive is None:
        raise Unavailable("events of this database lie in ClickHouse, and EVENTS_URL is not set; set it")
    if len(archive.rows_of_move(newest.id)) != newest.events:
        raise Unavailable("EVENTS_URL names another ClickHouse than the one that events were moved to; name that one")


def _oldest(session: Session, most: int) -> list[EventRow]:
    columns = (*KEY, StoredEvent.set_id, StoredEvent.id_text, StoredEvent.payload)
    return [EventRow(*row) for row in session.execute(select(*columns).order_by(*KEY).limit(most))]


def _counted(session: Session, rows: Sequence[EventRow]) -> list[MovedRow]:
    sets = sets_by_id(session, {row.set_id for row in rows})
    moved = []
    for row in rows:
        try:
            counts, _ = counts_of(sets[row.set_id], row.payload)
        except (KeyError, Unreadable):
            # A row that somebody spoilt moves as it is; `events verify` names it.
            counts = (0, 0, 0, 0)
        moved.append(MovedRow(row, counts))
    return moved


def _is_newest(session: Session, number: int) -> bool:
    """Say whether no later move began: two of one event must be done in the order of their numbers."""
    return session.scalar(select(func.max(EventMove.id))) == number
