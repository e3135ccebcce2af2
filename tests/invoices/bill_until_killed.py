"""A process that kills itself while it bills: `-m tests.invoices.bill_until_killed URL NOW POINT...`.

For each point a child bills until its n-th statement or commit and dies of SIGKILL there; the next one goes on.
"""

import os
import signal
import sys
from datetime import datetime
from typing import Any

from sqlalchemy import event

from tollkeeper.invoices.billing_run import bill_due_periods
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

AT_ONCE = 4  # few payers to a transaction, so that there are many commits to die between


def bill_all(url: str, now: datetime, *, dies_at: int | None = None) -> None:
    """Bill all that is due, or die at the n-th statement or commit."""
    database = Database(open_engine(url))
    left = dies_at

    def count(*_: Any) -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    event.listen(database.engine, "before_cursor_execute", count)
    event.listen(database.engine, "commit", count)
    while bill_due_periods(database, now=now, most_invoices=AT_ONCE).invoices:
        pass
    database.dispose()


def main(url: str, instant: str, *points: str) -> None:
    """Fork a child for each point; print how many died. A child that was done before its point lives."""
    died = 0
    for point in points:
        child = os.fork()
        if child == 0:
            bill_all(url, datetime.fromisoformat(instant), dies_at=int(point))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status in {0, signal.SIGKILL}, status
        died += status == signal.SIGKILL
    sys.stdout.write(f"{died}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
