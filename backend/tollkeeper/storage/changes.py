"""Count changes by topic, so that a reader that derives something knows cheaply whether to derive it again.

An act that changes what others derive from (a subscription, a mapping of consumers) notes its topic in its
own transaction; the deriving job compares the sum that it worked from. A missed note costs only time: readers
also derive everything again once in a while.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from tollkeeper.storage.base import Base
from tollkeeper.storage.upsert import insert_into


class ChangeCounter(Base):
    """How often something of a topic changed."""

    __tablename__ = "change_counters"

    topic: Mapped[str] = mapped_column(primary_key=True)
    changes: Mapped[int]


def note_change(session: Session, topic: str) -> None:
    """Count one change of the topic; visible to others when the caller's transaction is."""
    session.execute(
        insert_into(session, ChangeCounter)
        .values(topic=topic, changes=1)
        .on_conflict_do_update(index_elements=["topic"], set_={"changes": ChangeCounter.changes + 1})
    )


def count_changes(session: Session) -> int:
    """Return how many changes of any topic were noted so far."""
    return session.scalar(select(func.coalesce(func.sum(ChangeCounter.changes), 0))) or 0
