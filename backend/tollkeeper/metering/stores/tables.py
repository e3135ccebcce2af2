"""The moves of raw events into an archive; the state of a move says whether its rows there count."""

from sqlalchemy import SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.metering.tables import BigId
from tollkeeper.storage.base import Base

OPEN, DONE, RETURNED = 0, 1, 2


class EventMove(Base):
    """A move: OPEN before anything was written to the archive (and for ever, if it failed), DONE, or RETURNED.

    Its number is committed before the archive hears of it, so no other move ever has it.
    """

    __tablename__ = "event_moves"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    state: Mapped[int] = mapped_column(SmallInteger, index=True)
    events: Mapped[int]
