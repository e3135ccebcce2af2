"""The one interface of a store that raw events are moved to, and which of its rows a reader may count.

Events are accepted into the SQL database, whose unique key decides about repeats. With an archive a job moves them
on, a move at a time. A row of the archive counts if and only if its move is done in the reader's view of the SQL
database; docs/adr/0011 says why each event then counts exactly once, whatever is killed when.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.orm import Session

from tollkeeper.metering.rows import EventKey, EventRow, StoredAlready
from tollkeeper.metering.stores.tables import DONE, EventMove

OPTION = "tollkeeper_archive"
NO_MOVE = 0


class Stretch(NamedTuple):
    """start_us <= time < end_us (None: without an end), of these dimension sets (None: of all)."""

    start_us: int | None = None
    end_us: int | None = None
    set_ids: Collection[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which rows: those that lie in all of `within`, and in one of `any_of` if it is given; None means any."""

    within: Sequence[Stretch] = ()
    any_of: Sequence[Stretch] | None = None
    source_id: int | None = None
    id_key: bytes | None = None
    after: EventKey | None = None


@dataclass(frozen=True, slots=True)
class Visible:
    """Which moves count: those up to `newest` that are not in `left_out`."""

    newest: int = NO_MOVE
    left_out: frozenset[int] = field(default_factory=frozenset)


class MovedRow(NamedTuple):
    """A row on its way to the archive, with the numbers that totals add up."""

    row: EventRow
    counts: tuple[int, int, int, int]


class Archive(Protocol):
    """A store that holds raw events for good."""

    def append(self, move: int, rows: Sequence[MovedRow]) -> None:
        """Store the rows of a move durably; what was stored of it before a crash may be stored again."""

    def find(self, keys: Sequence[EventKey], visible: Visible) -> dict[EventKey, StoredAlready]:
        """Return what stands under those of the keys that are there."""

    def rows(self, wanted: Selection, visible: Visible) -> Iterator[EventRow]:
        """Yield rows in the order of the key."""

    def rows_of_move(self, move: int) -> list[EventRow]:
        """Return what is stored of one move, in the order of the key."""

    def bounds(self, visible: Visible) -> tuple[int, int] | None:
        """Return the first and the last time, None if nothing is there."""

    def totals(self, first_hour: int, end_hour: int, visible: Visible) -> dict[tuple[int, int], tuple[int, ...]]:
        """Return events and the counted numbers by set and hour, as the archive itself has added them up."""

    def close(self) -> None:
        """Let go of the connection."""


def attach_archive(engine: Engine, archive: Archive) -> None:
    """Let every session of the engine know its archive; before a Database is made of the engine."""
    engine.update_execution_options(**{OPTION: archive})


def archive_of(session: Session) -> Archive | None:
    """Return the archive behind the session's database, None if it has none."""
    return archive_behind(session.get_bind())


def archive_behind(engine: Engine | Connection) -> Archive | None:
    """Return the archive of an engine, None if it has none."""
    found: Archive | None = engine.get_execution_options().get(OPTION)
    return found


def visible_moves(session: Session) -> Visible:
    """Return which moves count in the session's view of the database."""
    newest = session.scalar(select(func.max(EventMove.id)).where(EventMove.state == DONE))
    if newest is None:
        return Visible()
    others = select(EventMove.id).where(EventMove.state != DONE, EventMove.id < newest)
    return Visible(newest, frozenset(session.scalars(others)))
