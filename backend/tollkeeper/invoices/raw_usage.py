"""Count usage from the events one by one, past every total: what a proof rests on."""

from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal

from sqlalchemy.orm import Session

from tollkeeper.metering.aggregate import Aggregate
from tollkeeper.metering.measure import event_matches, event_value, matching_sets
from tollkeeper.metering.read import ReadEvent, read_events
from tollkeeper.metering.values import NoNumber
from tollkeeper.subscriptions.periods import Period
from tollkeeper.usage.spans import spans_of_customer
from tollkeeper.usage.usage_of import question_of


def counted_events(
    session: Session, customer_id: str, feature_key: str, period: Period
) -> Iterator[tuple[ReadEvent, Decimal | str]]:
    """Yield the events of a customer's own usage of a feature, each with its value for the meter."""
    question = question_of(session, feature_key)
    for span in spans_of_customer(session, customer_id, period.start, period.end):
        sets = matching_sets(session, question, span.subjects)
        if not sets:
            continue
        for event in read_events(session, sets, span.start_us, span.end_us):
            if event_matches(question, event.facts, event.data):
                with suppress(NoNumber):
                    yield event, event_value(question, event.facts, event.data)


def raw_usage_of(session: Session, customer_id: str, feature_key: str, period: Period) -> tuple[Decimal, int]:
    """Return quantity and number of events of a customer's own usage of a feature, by reading each event."""
    total = Aggregate(question_of(session, feature_key).meter.aggregation)
    for event, value in counted_events(session, customer_id, feature_key, period):
        if isinstance(value, str):
            total.add_text(value)
        else:
            total.add_number(value, event.time_us)
    return total.quantity() or Decimal(0), total.event_count
