"""The event store: events, the sets of dimensions that they share, hourly totals, meters.

An event's row holds what differs from request to request (time, id, measured numbers). What many requests
share (subject, route, status, model ...) stands once in `dimension_sets`. Together they give the event back
exactly as it was received. Times are microseconds since 1970, so that both engines order and cut them alike.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, SmallInteger, event
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import DDL, ExecutableDDLElement

from tollkeeper.storage.base import Base, ExactDecimal, Json, UtcDateTime

BigId = BigInteger().with_variant(Integer(), "sqlite")


class EventSource(Base):
    """A source of events ("kong/node-7") and the number that stands for it."""

    __tablename__ = "event_sources"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    source: Mapped[str] = mapped_column(unique=True)


class DimensionSet(Base):
    """What many events share: type, subject, the dimensions of `data`, and which counted numbers they have.

    `digest` makes it unique; `measured` has bit n set if the events have column n of dimensions.COUNTED.
    """

    __tablename__ = "dimension_sets"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    event_type: Mapped[str] = mapped_column(index=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), index=True)
    measured: Mapped[int] = mapped_column(SmallInteger)
    dimensions: Mapped[dict[str, Any]] = mapped_column(Json)


class StoredEvent(Base):
    """One event; the key begins with the time, so that new events land at the end and days are partitions.

    `id_key` is the id's 16 bytes if it is 32 hex digits, as Kong's are; else a hash of it, and `id_text` is
    the id. No foreign keys: the ids come from the same transaction, and a look-up per event would double the cost.
    """

    __tablename__ = "events"
    __table_args__ = ({"sqlite_with_rowid": False, "postgresql_partition_by": "RANGE (time_us)"},)

    time_us: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    source_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    id_key: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    set_id: Mapped[int] = mapped_column(BigInteger)
    id_text: Mapped[str | None]
    payload: Mapped[bytes] = mapped_column(LargeBinary)


# Takes what is of no day that has a partition (event_days.py): no event is refused for want of one.
# SQLAlchemy has no type for DDL's constructor.
_make_other: ExecutableDDLElement = DDL("CREATE TABLE events__other PARTITION OF events DEFAULT")  # type: ignore[no-untyped-call]
event.listen(StoredEvent.__table__, "after_create", _make_other.execute_if(dialect="postgresql"))


class UntimedEvent(Base):
    """An event that came without a time: the time that it was given, so that its repeat is given the same."""

    __tablename__ = "untimed_events"
    __table_args__ = ({"sqlite_with_rowid": False},)

    source_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    id_key: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    time_us: Mapped[int] = mapped_column(BigInteger)


class HourlyTotal(Base):
    """What the events of one dimension set in one hour (since 1970) come to.

    `part` is 0 for the merged row. On PostgreSQL each batch writes a part of its own, so that two writers
    never wait for each other's counters; `merge_totals` folds parts into row 0. A reader sums all parts.
    """

    __tablename__ = "hourly_totals"
    __table_args__ = (Index("ix_hourly_totals_hour", "hour"), {"sqlite_with_rowid": False})

    set_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hour: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    part: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    events: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_tokens: Mapped[int] = mapped_column(BigInteger)
    response_bytes: Mapped[int] = mapped_column(BigInteger)
    first_us: Mapped[int] = mapped_column(BigInteger)
    last_us: Mapped[int] = mapped_column(BigInteger)


class OddTotal(Base):
    """A value of one event that does not fit the whole-number columns of its hourly total: a fraction, or huge."""

    __tablename__ = "odd_totals"

    id: Mapped[str] = mapped_column(primary_key=True)
    set_id: Mapped[int] = mapped_column(BigInteger, index=True)
    hour: Mapped[int] = mapped_column(Integer)
    column: Mapped[str]
    amount: Mapped[Decimal] = mapped_column(ExactDecimal)


class EventBatch(Base):
    """Which subjects a stored batch touched; `transaction_id` orders batches by what a reader may not have seen."""

    __tablename__ = "event_batches"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    transaction_id: Mapped[int] = mapped_column(BigInteger, index=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    events: Mapped[int] = mapped_column(Integer)
    subject_ids: Mapped[list[int]] = mapped_column(Json)


class Meter(Base):
    """How events become a number."""

    __tablename__ = "meters"

    id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    event_type: Mapped[str]
    aggregation: Mapped[str]
    value: Mapped[str | None]
    group_by: Mapped[dict[str, str]] = mapped_column(Json)
    filter: Mapped[dict[str, Any]] = mapped_column(Json)
    is_built_in: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
