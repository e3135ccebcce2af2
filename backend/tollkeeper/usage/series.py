"""Usage over time and by customer, for charts and statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import reduce

from sqlalchemy.orm import Session

from tollkeeper.customers.customers import family_of
from tollkeeper.customers.tables import Customer
from tollkeeper.metering.event import microseconds_of
from tollkeeper.metering.measure import Question, Span
from tollkeeper.metering.meters import get_meter
from tollkeeper.metering.query import MeterRow, query_meter
from tollkeeper.metering.windows import Window
from tollkeeper.money import EXACT
from tollkeeper.usage.spans import spans_of_customer
from tollkeeper.usage.usage_of import Usage, question_of, usage_of


@dataclass(frozen=True, slots=True)
class FeatureSeries:
    """One feature's quantity in each window, in order."""

    feature_key: str
    quantities: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class FamilyUsage:
    """What a payer and those whom it pays for used: each member's own usage, and the sum."""

    feature_key: str
    members: tuple[tuple[Customer, Usage], ...]
    total: Usage


def series_of(
    session: Session, customer_ids: Sequence[str] | None, feature_keys: Sequence[str], windows: Sequence[Window]
) -> list[FeatureSeries]:
    """Return each feature's usage per window by these customers together (None: by everybody, unmapped too)."""
    start, end = windows[0].start, windows[-1].end
    spans = _spans(session, customer_ids, start, end)
    series = []
    for feature_key in feature_keys:
        rows = query_meter(session, question_of(session, feature_key), windows, spans)
        series.append(FeatureSeries(feature_key, tuple(row.quantity or Decimal(0) for row in rows)))
    return series


def family_usage(session: Session, payer_id: str, feature_key: str, start: datetime, end: datetime) -> FamilyUsage:
    """Return a feature's usage by the payer and each customer that it pays for, with the sum.

    The sum adds up quantities; for meters that are neither sums nor counts it is no statement about events.
    """
    members = tuple(
        (customer, usage_of(session, customer.id, feature_key, start, end)) for customer in family_of(session, payer_id)
    )
    quantity = reduce(EXACT.add, (usage.quantity for _, usage in members))
    return FamilyUsage(feature_key, members, Usage(quantity, sum(usage.event_count for _, usage in members)))


def query_for(
    session: Session, question: Question, customer_ids: Sequence[str] | None, windows: Sequence[Window]
) -> list[MeterRow]:
    """Answer a question to a meter for these customers together (None: for everybody, unmapped too)."""
    spans = _spans(session, customer_ids, windows[0].start, windows[-1].end)
    return query_meter(session, question, windows, spans)


def meter_totals(session: Session, meter_keys: Sequence[str], start: datetime, end: datetime) -> dict[str, Decimal]:
    """Return what everybody used by each meter in [start, end): for the page "today"."""
    windows = [Window(start, end)]
    return {
        key: query_for(session, Question(get_meter(session, key)), None, windows)[0].quantity or Decimal(0)
        for key in meter_keys
    }


def _spans(session: Session, customer_ids: Sequence[str] | None, start: datetime, end: datetime) -> list[Span]:
    if customer_ids is None:
        return [Span(None, microseconds_of(start), microseconds_of(end))]
    return [span for one in customer_ids for span in spans_of_customer(session, one, start, end)]
