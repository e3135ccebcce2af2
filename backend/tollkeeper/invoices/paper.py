"""What a printed document says, and how a text of somebody else is made fit to be read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

JOINERS = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what it is for, when, and its figures at the right; `notes` stand small below it."""

    text: str
    period: str = ""
    figures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """One row below the table."""

    label: str
    amount: str
    is_strong: bool = False


@dataclass(frozen=True, slots=True)
class Paper:
    """Everything that a document says, in words: all amounts and dates are written already."""

    title: str
    number: str
    seller: Sequence[str]
    buyer: Sequence[str]
    facts: Sequence[tuple[str, str]]
    columns: Sequence[tuple[str, float]]  # headings and widths in mm: text, period, then the figures
    rows: Sequence[Row]
    sums: Sequence[Sum]
    made_at: datetime
    mark: str = ""  # such as VOID
    remarks: Sequence[str] = field(default=())


def readable(text: str) -> str:
    """Return the text in one line, without characters that control how others are shown."""
    kept = (mark if mark.isprintable() or mark in JOINERS else " " for mark in text)
    return " ".join("".join(kept).split())
