"""What is remembered of events that leave the store: what was exported or dropped, who was forgotten by whom."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Integer, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.storage.append_only import keep_append_only
from tollkeeper.storage.base import Base, UtcDateTime


class EventExport(Base):
    """The last export of a whole day (since 1970, UTC): number and digest of its events, SHA-256 of the file.

    The digest is the sum over all subjects, as in `event_digests`. While both are equal, the file holds the day.
    """

    __tablename__ = "event_exports"

    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    events: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes] = mapped_column(LargeBinary(168))
    sha256: Mapped[str]
    exported_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ForgettingAct(Base):
    """That somebody's identifiers were put out of the event store: when, by whom, and how much that was.

    It holds no identifier and no pseudonym: nothing in it leads back to the person.
    """

    __tablename__ = "forgetting_acts"

    id: Mapped[str] = mapped_column(primary_key=True)
    forgotten_at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str]
    events: Mapped[int] = mapped_column(BigInteger)
    subjects: Mapped[int]
    dimension_sets: Mapped[int]


class ForgottenDay(Base):
    """By how much an act changed the digest of a day, over all subjects: new less old, modulo 2^1344."""

    __tablename__ = "forgotten_days"

    act_id: Mapped[str] = mapped_column(ForeignKey("forgetting_acts.id"), primary_key=True)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    delta: Mapped[bytes] = mapped_column(LargeBinary(168))


class RetentionBound(Base):
    """One row, there once events were dropped or are about to be: the days since 1970 that decide about old events.

    No event of a day before `accept_from` is taken, so no repeat of a dropped event can count again. The raw events of
    days before `dropped_until` may be gone; it never passes `accept_from`. Neither ever goes back.
    """

    __tablename__ = "retention_bound"

    id: Mapped[int] = mapped_column(primary_key=True)
    accept_from: Mapped[int]
    dropped_until: Mapped[int]


class DroppedDay(Base):
    """A day whose raw events were dropped: how many there were, and the sum of their digests over all subjects."""

    __tablename__ = "dropped_days"

    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    events: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes] = mapped_column(LargeBinary(168))
    is_exported: Mapped[bool]
    dropped_at: Mapped[datetime] = mapped_column(UtcDateTime)


keep_append_only(ForgettingAct.__table__, "an act of forgetting never changes")
keep_append_only(ForgottenDay.__table__, "what forgetting did to a day never changes")
keep_append_only(DroppedDay.__table__, "what was dropped never changes")
