"""Ask for one customer's month again and again, in a process of its own: `probe URL SECONDS` prints milliseconds."""

import gc
import sys
import time
from datetime import timedelta

from benchmarks.metering.month_traffic import START, MonthTraffic
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.measure import Question, Span, measure
from tollkeeper.metering.meters import get_meter
from tollkeeper.storage.engine import open_engine
from tollkeeper.storage.session import Database

PAUSE_SECONDS = 0.05
MONTH = (microseconds_of(START), microseconds_of(START + timedelta(days=31)))


def main() -> None:
    """Print count, median, p99 and largest, of a busy customer, a middling one and a rare one in turn."""
    database = Database(open_engine(sys.argv[1]))
    subjects = [f"consumer:{MonthTraffic(1, 1000, 1).subjects[place].decode()}" for place in (0, 100, 999)]
    end = time.monotonic() + float(sys.argv[2])
    taken: list[float] = []
    gc.freeze()  # as the backend does (commands/wsgi.py)
    gc.set_threshold(100_000, 20, 50)
    while time.monotonic() < end or len(taken) < len(subjects):
        with database.snapshot() as session:
            meter = get_meter(session, "requests")
            start = time.perf_counter()
            measure(session, Question(meter), [Span(frozenset([subjects[len(taken) % 3]]), *MONTH)])
            taken.append(1_000 * (time.perf_counter() - start))
        time.sleep(PAUSE_SECONDS)
    taken.sort()
    print(f"{len(taken)} {taken[len(taken) // 2]:.2f} {taken[int(len(taken) * 0.99)]:.2f} {taken[-1]:.2f}")


def all_customers(database: Database) -> tuple[int, float]:
    """Return how many customers have usage in the month, and the seconds to total it."""
    start = time.perf_counter()
    with database.snapshot() as session:
        question = Question(get_meter(session, "requests"), group_by=("$subject",))
        groups = measure(session, question, [Span(None, *MONTH)])
    return len(groups), time.perf_counter() - start


if __name__ == "__main__":
    main()
