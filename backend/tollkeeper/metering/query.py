"""Answer a question to a meter: numbers per window and group."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from tollkeeper.errors import FieldError, InvalidInput
from tollkeeper.metering.filters import check_filter
from tollkeeper.metering.measure import SUBJECT_PATH, Group, Question, Span
from tollkeeper.metering.measure_windows import measure_windows
from tollkeeper.metering.tables import Meter
from tollkeeper.metering.windows import Window

MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class MeterRow:
    """One number: a window, the values of the group-by dimensions in order, and the quantity (None: no number)."""

    start: datetime
    end: datetime
    group: Group
    quantity: Decimal | None
    event_count: int


def query_meter(
    session: Session, question: Question, windows: Sequence[Window], spans: Sequence[Span]
) -> list[MeterRow]:
    """Return the rows that have events, by window and group; a question without groups has a row for each window.

    `spans` say whose events count; they are cut to each window.
    """
    check_filter(dict(question.filter))
    _check_groups(question.meter, question.group_by)
    rows: list[MeterRow] = []
    for window, groups in zip(windows, measure_windows(session, question, windows, spans), strict=True):
        found = [MeterRow(*window, group, part.quantity(), part.event_count) for group, part in groups.items()]
        if not found and not question.group_by:
            found = [MeterRow(*window, (), _nothing(question.meter), 0)]
        rows += sorted(found, key=lambda row: tuple((part is None, part or "") for part in row.group))
        if len(rows) > MOST_ROWS:
            raise InvalidInput.of("/group_by", f"makes more than {MOST_ROWS} rows; ask for less")
    return rows


def _nothing(meter: Meter) -> Decimal | None:
    return Decimal(0) if meter.aggregation in {"sum", "count", "unique_count"} else None


def _check_groups(meter: Meter, group_by: Sequence[str]) -> None:
    unknown = [name for name in group_by if name not in meter.group_by and name != SUBJECT_PATH]
    if unknown:
        known = ", ".join(sorted(meter.group_by)) or "none"
        raise InvalidInput(
            f"meter {meter.key!r} has no dimension {unknown[0]!r}; it has {known}",
            tuple(FieldError("/group_by", f"{name!r} is none of {known}") for name in unknown),
        )
