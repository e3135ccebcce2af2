"""How much of a feature a customer used in a period, or several together, each in its own stretches of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from tollkeeper.catalog.features import get_feature
from tollkeeper.errors import InvalidInput
from tollkeeper.metering.aggregate import Aggregate
from tollkeeper.metering.measure import SUBJECT_PATH, Question, measure
from tollkeeper.metering.meters import get_meter
from tollkeeper.subscriptions.coverage import CoveredStretch
from tollkeeper.usage.spans import owned_spans, spans_of_customer


@dataclass(frozen=True, slots=True)
class Usage:
    """A quantity and the number of events that it counts."""

    quantity: Decimal
    event_count: int


@dataclass(frozen=True, slots=True)
class Pool:
    """The usage of several customers measured as one, and each customer's own: {customer id: Usage}, by id.

    Sums and counts of the customers add up to the whole; maxima and unique counts need not.
    """

    whole: Usage
    by_customer: Mapping[str, Usage]


def usage_of(session: Session, customer_id: str, feature_key: str, start: datetime, end: datetime) -> Usage:
    """Return this one customer's own usage of a feature in [start, end); not that of those whom it pays for.

    Events count for whom their subject was mapped to when they happened. Raises NotFound for an unknown feature.
    """
    return pooled_usage(session, feature_key, [CoveredStretch(customer_id, start, end)]).whole


def pooled_usage(session: Session, feature_key: str, stretches: Sequence[CoveredStretch]) -> Pool:
    """Return what the customers used in their stretches together; raises NotFound for an unknown feature."""
    question = question_of(session, feature_key)
    spans = owned_spans(session, stretches)
    owners = {customer_id for one in spans for customer_id in one.owners.values()}
    by_customer: dict[str, Aggregate] = {}
    if len(owners) == 1:  # the common case needs no cut by subject
        found = measure(session, question, [one.span for one in spans])
        by_customer = dict.fromkeys(owners, found[()]) if found else {}
        return pool_of(question, by_customer)
    by_subject = replace(question, group_by=(SUBJECT_PATH,))
    for span, owner_of in spans:
        for (subject,), part in measure(session, by_subject, [span]).items():
            owner = owner_of[str(subject)]
            by_customer.setdefault(owner, Aggregate(question.meter.aggregation)).merge(part)
    return pool_of(question, by_customer)


def pool_of(question: Question, by_customer: Mapping[str, Aggregate]) -> Pool:
    """Measure the pool of what was folded for each customer."""
    whole = Aggregate(question.meter.aggregation)
    for customer_id in sorted(by_customer):
        whole.merge(by_customer[customer_id])
    return Pool(_usage(whole), {customer_id: _usage(by_customer[customer_id]) for customer_id in sorted(by_customer)})


def _usage(aggregate: Aggregate) -> Usage:
    return Usage(aggregate.quantity() or Decimal(0), aggregate.event_count)


def usage_by_group(
    session: Session, customer_id: str, feature_key: str, group_by: tuple[str, ...], start: datetime, end: datetime
) -> dict[tuple[str | None, ...], Usage]:
    """Return the same cut by dimensions of the feature's meter: {("gpt-4o",): Usage} for ("model",)."""
    question = question_of(session, feature_key, group_by)
    groups = measure(session, question, spans_of_customer(session, customer_id, start, end))
    return {group: _usage(part) for group, part in groups.items()}


def question_of(session: Session, feature_key: str, group_by: tuple[str, ...] = ()) -> Question:
    """Return what a feature asks of the event store; raises NotFound, or InvalidInput if it has no meter."""
    feature = get_feature(session, feature_key)
    if feature.meter_key is None:
        raise InvalidInput.of("/feature", f"{feature_key!r} has no meter, so it has no usage; give it one")
    return Question(get_meter(session, feature.meter_key), feature.filter or {}, group_by)
