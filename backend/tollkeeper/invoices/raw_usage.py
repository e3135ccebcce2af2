"""Count usage from the events one by one, past every total: what a proof rests on."""

from contextlib import suppress
from decimal import Decimal

from sqlalchemy.orm import Session

from tollkeeper.metering.aggregate import Aggregate
from tollkeeper.metering.measure import event_matches, event_value, matching_sets
from tollkeeper.metering.read import read_events
from tollkeeper.metering.values import NoNumber
from tollkeeper.subscriptions.periods import Period
from tollkeeper.usage.spans import spans_of_customer
from tollkeeper.usage.usage_of import question_of


def raw_usage_of(session: Session, customer_id: str, feature_key: str, period: Period) -> tuple[Decimal, int]:
    """Return quantity and number of events of a customer's own usage of a feature, by reading each event."""
    question = question_of(session, feature_key)
    total = Aggregate(question.meter.aggregation)
    for span in spans_of_customer(session, customer_id, period.start, period.end):
        sets = matching_sets(session, question, span.subjects)
        if not sets:
            continue
        for event in read_events(session, sets, span.start_us, span.end_us):
            if not event_matches(question, event.facts, event.data):
                continue
            with suppress(NoNumber):
                value = event_value(question, event.facts, event.data)
                if isinstance(value, str):
                    total.add_text(value)
                else:
                    total.add_number(value, event.time_us)
    return total.quantity() or Decimal(0), total.event_count
