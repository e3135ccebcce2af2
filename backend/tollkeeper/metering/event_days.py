"""Days of the event store on PostgreSQL: a partition each, made before its events come; docs/adr/0013 says why.

What is of a day without a partition lies in the default one: late, early or imported, it is never refused for that.
A partition is only made while no event of its day is stored, so no row ever moves: whoever reads by an older view of
the database would look for it in the wrong place.
"""

from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tollkeeper.errors import Unavailable
from tollkeeper.metering.digests import DAY_US
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.stores.archive import archive_of
from tollkeeper.storage.locks import wait_for_turn
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import is_postgresql

AHEAD = 3
# History comes in the order of its days: where many events are, those of the next days follow.
MANY = 10_000
FOLLOWING = 7
# A query without a time locks each partition and its index; PostgreSQL has room for some 6,400 locks.
MOST_DAYS = 500
# Of the default partition's days so many, the newest, are looked at: whoever may send events can fill all years.
MOST_OTHERS = 1_000
# Whoever comes after us for the same lock waits as long as we do.
LOCK_TIMEOUT = "1s"
DROP_TIMEOUT = "50ms"
EPOCH_DAY = date(1970, 1, 1)

PARTITIONS = """
    SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = 'events'::regclass
"""
# One look into the index for each day, the newest first.
DAYS_OF_OTHER = """
    WITH RECURSIVE days (day) AS (
      SELECT floor(max(time_us) / 86400000000.0)::bigint FROM events__other
      UNION ALL
      SELECT floor((SELECT max(time_us) FROM events__other WHERE time_us < day * 86400000000)
                   / 86400000000.0)::bigint
      FROM days WHERE day IS NOT NULL
    )
    SELECT day, EXISTS (
      SELECT FROM events__other WHERE time_us >= day * 86400000000 AND time_us < (day + 1) * 86400000000 OFFSET :many
    ) FROM days WHERE day IS NOT NULL LIMIT :most
"""
IS_BUSY = "SELECT EXISTS (SELECT FROM events WHERE time_us >= :first AND time_us < :end OFFSET :many)"
# Whether somebody may still read by a view of the database that knows nothing of the present bound.
OLDER_VIEWS = """
    SELECT EXISTS (
      SELECT FROM pg_stat_activity AS other, retention_bound AS bound
      WHERE other.datname = current_database() AND other.pid <> pg_backend_pid()
        AND age(other.backend_xmin) >= age(bound.xmin)
    )
"""


def make_event_days(database: Database, *, now: datetime) -> int:
    """Make the partitions of the days to come, and take away those that retention has emptied; return how many.

    Each is a transaction. Days are also made behind a day of the past that holds many events: its successors are on
    their way. Raises Unavailable if somebody holds a lock for longer than a second; the next run tries again.
    """
    with database.snapshot() as session:
        # With an archive rows stay for seconds, and leave: an older view may hold what we no longer see.
        if not is_postgresql(session) or archive_of(session) is not None:
            return 0
        there = _days_there(session)
        wanted = _days_to_make(session, there, microseconds_of(now) // DAY_US)
        emptied = _emptied_days(session, there)
    made = 0
    for day in wanted:
        try:
            with database.transaction() as session:
                _make_day(session, day)
        except IntegrityError:
            continue  # an event of the day came first: it stays with those of its day in the default partition
        made += 1
    return made + sum(_drop_day(database, day) for day in emptied)


def _drop_day(database: Database, day: int) -> bool:
    """Drop an empty partition and return True; False if somebody reads longer: the next run tries again.

    It needs the whole table for an instant, and while it waits for that all inserts wait behind it.
    """
    try:
        with database.transaction() as session:
            _set_lock_timeout(session, DROP_TIMEOUT)
            session.execute(text(f"DROP TABLE IF EXISTS {partition_of(day)}"))
    except Unavailable:
        return False
    return True


def empty_day(session: Session, day: int) -> bool:
    """Empty a day's partition at one go and return True; False if the rows have to be deleted one by one.

    That is so if the day has none, if it is being read, or if somebody reads by a view from before the committed
    bound `dropped_until`: he would find the partition empty and take it for the truth.
    """
    if not is_postgresql(session) or day not in _days_there(session):
        return False
    name = partition_of(day)
    is_free = session.scalar(
        text("SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = CAST(:name AS regclass) AND pid <> :own)"),
        {"name": name, "own": session.scalar(text("SELECT pg_backend_pid()"))},
    )
    if not is_free or session.scalar(text(OLDER_VIEWS)):
        return False
    _set_lock_timeout(session, LOCK_TIMEOUT)
    session.execute(text(f"TRUNCATE {name}"))
    return True


def partition_of(day: int) -> str:
    """Return the name of a day's partition."""
    return f"events__{(EPOCH_DAY + timedelta(days=day)).isoformat().replace('-', '')}"


def _days_there(session: Session) -> set[int]:
    names = [name.partition("__")[2] for name in session.scalars(text(PARTITIONS))]
    return {(date.fromisoformat(name) - EPOCH_DAY).days for name in names if name.isdigit()}


def _days_to_make(session: Session, there: Collection[int], today: int) -> list[int]:
    """Return days without a partition of which no event is stored yet: first those to come, then those of the past."""
    if len(there) >= MOST_DAYS:
        return []
    rows = session.execute(text(DAYS_OF_OTHER), {"many": MANY, "most": MOST_OTHERS})
    others: dict[int, bool] = dict(rows.all())
    past: set[int] = set()
    for day in _busy_days(session, there, others, today):
        past.update(range(day + 1, min(day + FOLLOWING, today - 1) + 1))
    if len(others) == MOST_OTHERS:  # of days before we do not know whether they have events
        past = {day for day in past if day > min(others)}
    wanted = [*range(today, today + AHEAD + 1), *sorted(past)]
    return [day for day in wanted if day not in there and day not in others][: MOST_DAYS - len(there)]


def _busy_days(session: Session, there: Collection[int], others: dict[int, bool], today: int) -> Iterator[int]:
    """Yield the days that hold many events and that some of the next days may follow."""
    known = {*there, *others}
    for day in sorted(known):
        if day >= today or known.issuperset(range(day + 1, min(day + FOLLOWING, today) + 1)):
            continue
        if day in others:
            is_busy = others[day]
        else:
            bounds = {"many": MANY, "first": day * DAY_US, "end": (day + 1) * DAY_US}
            is_busy = bool(session.scalar(text(IS_BUSY), bounds))
        if is_busy:
            yield day


def _make_day(session: Session, day: int) -> None:
    """Attach an empty partition; raises IntegrityError if an event of the day is stored.

    Inserts into other days go on meanwhile; the default partition is looked through and waits for it.
    """
    _set_lock_timeout(session, LOCK_TIMEOUT)
    wait_for_turn(session, "make_event_days")
    if day in _days_there(session):
        return
    name, bounds = partition_of(day), f"FROM ({day * DAY_US}) TO ({(day + 1) * DAY_US})"
    session.execute(text(f"CREATE TABLE {name} (LIKE events INCLUDING ALL)"))
    session.execute(text(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES {bounds}"))


def _emptied_days(session: Session, there: Collection[int]) -> list[int]:
    """Return the dropped days whose partition takes no room any more: then no older view needs it, either."""
    dropped = set(session.scalars(text("SELECT day FROM dropped_days")))
    size = text("SELECT pg_relation_size(CAST(:name AS regclass))")
    return [day for day in sorted(dropped & set(there)) if session.scalar(size, {"name": partition_of(day)}) == 0]


def _set_lock_timeout(session: Session, most: str) -> None:
    session.execute(text(f"SET LOCAL lock_timeout = '{most}'"))
