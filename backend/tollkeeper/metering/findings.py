"""What verifying the event store can find, and what it looks at."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What is wrong."""

    CHANGED = "changed"
    LOST = "lost"
    ADDED = "added"
    TOTAL = "total"
    SET = "set"
    UNREADABLE = "unreadable"
    TWICE = "twice"


class Finding(NamedTuple):
    """A difference: days since 1970, the subject if it is about one, and what was kept and what is there."""

    kind: Kind
    day: int | None
    subject: str | None
    detail: str


@dataclass(slots=True)
class Verified:
    """What was looked at; `late` counts events that arrived after their day, by day and day of arrival."""

    events: int = 0
    subject_days: int = 0
    dropped_days: int = 0
    dropped_events: int = 0
    late: dict[tuple[int, int], int] = field(default_factory=dict)


class Range(NamedTuple):
    """The days [first, end) since 1970, of these subjects (None: of all)."""

    first_day: int
    end_day: int
    subjects: Collection[str] | None = None
