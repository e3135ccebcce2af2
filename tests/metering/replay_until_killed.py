"""A process that kills itself while it accepts: `-m tests.metering.replay_until_killed URL EVENTS_URL SEED POINT...`.

For each point a child brings every batch three times in an order of its own, moves events on (if EVENTS_URL is not
"-"), and dies of SIGKILL at its n-th statement, commit or insert into the archive. The last child lives and prints
what is there.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event

from tests.metering.event_stores import EventStore
from tollkeeper.metering.event import Event
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.meters import get_meter
from tollkeeper.metering.stores.archive import Archive, MovedRow, attach_archive
from tollkeeper.metering.stores.locate import open_archive_at
from tollkeeper.metering.stores.move import move_events
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

START = datetime(2026, 3, 1, tzinfo=UTC)
EVER = Span(None, -(1 << 60), 1 << 60)
BATCHES = [
    [
        Event(
            id=f"{number:032x}",
            source=f"kong/node-{number % 3}",
            type="kong.request",
            subject=f"consumer:{number % 5}",
            time=START + timedelta(minutes=7 * number),
            data={"route": "flights", "method": "GET", "status": 200, "llm": {"input_tokens": number}},
        )
        for number in range(first, first + 12)
    ]
    for first in range(0, 96, 8)  # each batch shares events with the next
]


class Dying:
    """Counts down to the end of the process."""

    def __init__(self, left: int) -> None:
        self._left = left

    def count(self, *_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingArchive:
    """An archive on both sides of whose inserts the process may die."""

    def __init__(self, archive: Archive, dying: Dying) -> None:
        self._archive = archive
        self._dying = dying

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    def append(self, move: int, rows: Sequence[MovedRow]) -> None:
        self._dying.count()
        self._archive.append(move, rows)
        self._dying.count()


def bring_all(url: str, events_url: str, seed: str, *, dies_at: int) -> dict[str, Any]:
    """Bring every batch three times; return what is there afterwards."""
    dying = Dying(dies_at)
    engine = open_engine(url)
    archive: Any = None if events_url == "-" else DyingArchive(open_archive_at(events_url), dying)
    if archive is not None:
        attach_archive(engine, archive)
    store = EventStore(Database(engine), archive)
    event.listen(engine, "before_cursor_execute", dying.count)
    event.listen(engine, "commit", dying.count)
    order = BATCHES * 3
    random.Random(seed).shuffle(order)
    for place, batch in enumerate(order):
        store.take(batch)
        if archive is not None and place % 4 == 3:
            move_events(store.database, archive, most=17)
    done, found = store.verify()
    with store.database.snapshot() as session:
        sums = [
            str(measure(session, Question(get_meter(session, key)), [EVER])[()].quantity())
            for key in ("requests", "input_tokens")
        ]
    return {"events": done.events, "found": [str(one) for one in found], "sums": sums}


def main(url: str, events_url: str, seed: str, *points: str) -> None:
    """Fork a child for each point and one that may live."""
    died = 0
    for point in [*points, "0"]:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            there = bring_all(url, events_url, seed + point, dies_at=int(point))
            if point == "0":
                sys.stdout.write(json.dumps({**there, "died": died}))
                sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status in {0, signal.SIGKILL}, status
        died += status == signal.SIGKILL


if __name__ == "__main__":
    main(*sys.argv[1:])
