"""Measure many windows of one length at once: two queries instead of two for each window."""

from collections.abc import Sequence
from itertools import pairwise

from sqlalchemy.orm import Session

from tollkeeper.metering.aggregate import Aggregate
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.measure import (
    Group,
    Question,
    Span,
    fold_events,
    fold_totals,
    matching_sets,
    measure,
    totals_answer,
)
from tollkeeper.metering.read import Hours, read_totals_by_window
from tollkeeper.metering.totals import HOUR_US
from tollkeeper.metering.windows import Window

Groups = dict[Group, Aggregate]


def measure_windows(
    session: Session, question: Question, windows: Sequence[Window], spans: Sequence[Span]
) -> list[Groups]:
    """Return the aggregates of each window over the spans, which are cut to it; the same as measuring one by one."""
    size = _hours_of_each(windows)
    if size is None or not totals_answer(question):
        return [measure(session, question, cut_spans(spans, window)) for window in windows]
    base = microseconds_of(windows[0].start) // HOUR_US
    whole = Window(windows[0].start, windows[-1].end)
    found: list[Groups] = [{} for _ in windows]
    for span in cut_spans(spans, whole):
        _fold_span(
            session, question, span, Hours(-(-span.start_us // HOUR_US), span.end_us // HOUR_US, base, size), found
        )
    return found


def cut_spans(spans: Sequence[Span], window: Window) -> list[Span]:
    """Cut spans to a window; what lies outside is left out."""
    start_us, end_us = microseconds_of(window.start), microseconds_of(window.end)
    cut = (Span(span.subjects, max(span.start_us, start_us), min(span.end_us, end_us)) for span in spans)
    return [span for span in cut if span.start_us < span.end_us]


def _hours_of_each(windows: Sequence[Window]) -> int | None:
    """Return how many hours each window has if all follow each other and have as many whole ones, else None."""
    size_us = microseconds_of(windows[0].end) - microseconds_of(windows[0].start)
    if size_us % HOUR_US or microseconds_of(windows[0].start) % HOUR_US:
        return None
    if any(window.end - window.start != windows[0].end - windows[0].start for window in windows):
        return None
    if any(before.end != after.start for before, after in pairwise(windows)):
        return None
    return size_us // HOUR_US


def _fold_span(session: Session, question: Question, span: Span, hours: Hours, found: list[Groups]) -> None:
    sets = matching_sets(session, question, span.subjects)
    if not sets:
        return
    if hours.first < hours.end:
        for (index, set_id), totals in read_totals_by_window(session, sets.keys(), hours).items():
            fold_totals(question, sets[set_id], totals, found[index])
    # Each edge lies within one hour, and so within one window; without a whole hour between them there may be one.
    first_us, end_us = hours.first * HOUR_US, hours.end * HOUR_US
    edges = [(span.start_us, min(first_us, span.end_us)), (max(end_us, span.start_us), span.end_us)]
    if hours.first > hours.end:
        edges = [(span.start_us, span.end_us)]
    for start_us, stop_us in edges:
        index = (start_us // HOUR_US - hours.base) // hours.size
        if start_us < stop_us:
            fold_events(session, question, sets, Span(None, start_us, stop_us), found[index])
