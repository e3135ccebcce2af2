"""What the audit keeps of events: digests by day and subject, and what batches add to them."""

from sqlalchemy import BigInteger, Integer, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from tollkeeper.metering.tables import BigId
from tollkeeper.storage.base import Base


class EventDigest(Base):
    """Number and digest of a subject's events of one day (since 1970, UTC) that arrived on one day.

    A row with a later `arrived_day` than `day` is what came late; no row changes after its day of arrival.
    """

    __tablename__ = "event_digests"
    __table_args__ = ({"sqlite_with_rowid": False},)

    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    subject_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    arrived_day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    events: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes] = mapped_column(LargeBinary(168))


class DigestPart(Base):
    """What one batch adds to the digests; `fold_digests` adds it to them and takes the part away."""

    __tablename__ = "digest_parts"

    batch_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    sums: Mapped[bytes] = mapped_column(LargeBinary)
