"""What is remembered of events that leave the store: which days were exported, and as what."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

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
