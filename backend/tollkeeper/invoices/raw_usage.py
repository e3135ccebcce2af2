"""Count usage from the events one by one, past every total: what a proof rests on."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from tollkeeper.metering.aggregate import Aggregate
from tollkeeper.subscriptions.coverage import CoveredStretch
from tollkeeper.usage.counted_events import counted_events
from tollkeeper.usage.usage_of import Pool, pool_of, question_of


def raw_usage_of(session: Session, feature_key: str, stretches: Sequence[CoveredStretch]) -> Pool:
    """Return what `pooled_usage` returns, by reading each event."""
    question = question_of(session, feature_key)
    by_customer: dict[str, Aggregate] = {}
    for event, value, customer_id in counted_events(session, question, stretches):
        own = by_customer.setdefault(customer_id, Aggregate(question.meter.aggregation))
        if isinstance(value, str):
            own.add_text(value)
        else:
            own.add_number(value, event.time_us)
    return pool_of(question, by_customer)
