"""How much of a feature a customer used in a period, and by which of its subjects."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from tollkeeper.catalog.features import get_feature
from tollkeeper.errors import InvalidInput
from tollkeeper.metering.measure import Question, measure
from tollkeeper.metering.meters import get_meter
from tollkeeper.usage.spans import spans_of_customer


@dataclass(frozen=True, slots=True)
class Usage:
    """A quantity and the number of events that it counts."""

    quantity: Decimal
    event_count: int


NO_USAGE = Usage(Decimal(0), 0)


def usage_of(session: Session, customer_id: str, feature_key: str, start: datetime, end: datetime) -> Usage:
    """Return this one customer's own usage of a feature in [start, end); not that of those whom it pays for.

    Events count for whom their subject was mapped to when they happened. Raises NotFound for an unknown feature.
    """
    question = question_of(session, feature_key)
    groups = measure(session, question, spans_of_customer(session, customer_id, start, end))
    if () not in groups:
        return NO_USAGE
    return Usage(groups[()].quantity() or Decimal(0), groups[()].event_count)


def usage_by_group(
    session: Session, customer_id: str, feature_key: str, group_by: tuple[str, ...], start: datetime, end: datetime
) -> dict[tuple[str | None, ...], Usage]:
    """Return the same cut by dimensions of the feature's meter: {("gpt-4o",): Usage} for ("model",)."""
    question = question_of(session, feature_key, group_by)
    groups = measure(session, question, spans_of_customer(session, customer_id, start, end))
    return {group: Usage(part.quantity() or Decimal(0), part.event_count) for group, part in groups.items()}


def question_of(session: Session, feature_key: str, group_by: tuple[str, ...] = ()) -> Question:
    """Return what a feature asks of the event store; raises NotFound, or InvalidInput if it has no meter."""
    feature = get_feature(session, feature_key)
    if feature.meter_key is None:
        raise InvalidInput.of("/feature", f"{feature_key!r} has no meter, so it has no usage; give it one")
    return Question(get_meter(session, feature.meter_key), feature.filter or {}, group_by)
