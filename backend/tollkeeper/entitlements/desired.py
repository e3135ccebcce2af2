"""Derive which limits there are, whom they bind and which subjects are whose, without counting any usage."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.customers.subjects import CONSUMER_PREFIX
from tollkeeper.customers.tables import Attribution, ConsumerMapping, Customer
from tollkeeper.entitlements.allotments import Allotment, allotments_at, limit_id_of
from tollkeeper.entitlements.known_traffic import load_known_traffic
from tollkeeper.entitlements.scope_sources import LimitedFeature, load_features
from tollkeeper.entitlements.verdict import plain
from tollkeeper.subscriptions.coverage import Coverage, load_coverage
from tollkeeper.subscriptions.held_cards import held_cards
from tollkeeper.subscriptions.periods import MICROSECOND
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import Timeline, load_timelines

GATE_STATUS = 403


@dataclass(frozen=True, slots=True)
class DesiredLimit:
    """A limit as it should be; `columns` are those of EntitlementLimit that do not come from counting."""

    id: str
    customer_ids: tuple[str, ...]
    columns: Mapping[str, Any]


@dataclass(slots=True)
class Desired:
    """Everything that the verdicts are derived from; `next_change_at` is when time alone changes it."""

    limits: dict[str, DesiredLimit] = field(default_factory=dict)
    subjects: dict[str, tuple[str, str]] = field(default_factory=dict)
    next_change_at: datetime | None = None

    def digest(self) -> str:
        """Return what tells two of them apart, without the time at which the next change comes."""
        found = hashlib.sha256()
        for limit_id, limit in sorted(self.limits.items()):
            found.update(repr((limit_id, limit.customer_ids, sorted(limit.columns.items()))).encode())
        found.update(repr(sorted(self.subjects.items())).encode())
        return found.hexdigest()

    def note_change_at(self, instant: datetime | None, *, now: datetime) -> None:
        """Remember the earliest instant to come."""
        if instant is not None and instant > now and (self.next_change_at is None or instant < self.next_change_at):
            self.next_change_at = instant


def derive(session: Session, *, now: datetime) -> Desired:
    """Derive the limits of all subscriptions and the subjects of all customers at an instant."""
    desired = Desired()
    features = load_features(session, load_known_traffic(session))
    coverage = load_coverage(session)
    held: dict[str, set[str]] = {}
    for timeline in _timelines(session, now=now):
        allotments = allotments_at(timeline, now)
        _note_changes(desired, timeline, allotments, now=now)
        for allotment in allotments:
            covered = coverage.stretches(allotment.customer_id, now, now + MICROSECOND)
            customer_ids = tuple(sorted({one.customer_id for one in covered}))
            for customer_id in customer_ids:
                held.setdefault(customer_id, set()).add(allotment.feature_key)
            _add_quota(desired, allotment, features, customer_ids, coverage)
    customer_keys = {row.id: row.key for row in session.execute(select(Customer.id, Customer.key))}
    _add_gates(desired, features, _gated_features(session), customer_keys, held)
    _add_subjects(session, desired, customer_keys, now=now)
    return desired


def _timelines(session: Session, *, now: datetime) -> list[Timeline]:
    running = select(Subscription).where(or_(Subscription.ends_at.is_(None), Subscription.ends_at > now))
    return load_timelines(session, session.scalars(running.order_by(Subscription.id)).all())


def _note_changes(desired: Desired, timeline: Timeline, allotments: list[Allotment], *, now: datetime) -> None:
    for held in held_cards(timeline):
        desired.note_change_at(held.start, now=now)
        desired.note_change_at(held.end, now=now)
    for pause in timeline.pauses:
        desired.note_change_at(pause.start, now=now)
        desired.note_change_at(pause.end, now=now)
    for allotment in allotments:
        desired.note_change_at(allotment.period.end if allotment.period else None, now=now)


def _add_quota(
    desired: Desired,
    allotment: Allotment,
    features: Mapping[str, LimitedFeature],
    customer_ids: tuple[str, ...],
    coverage: Coverage,
) -> None:
    quota, period = allotment.quota, allotment.period
    feature = features.get(allotment.feature_key)
    if quota is None or period is None or feature is None or feature.scope is None:
        return
    stretches = coverage.stretches(allotment.customer_id, period.start, period.end)
    columns = {
        "subscription_id": allotment.subscription_id,
        "customer_id": allotment.customer_id,
        "feature_key": feature.key,
        "kind": feature.kind,
        "scope": feature.scope.as_json(),
        "quota": quota.limit,
        # A scope that takes in other traffic must not refuse it.
        "is_hard": quota.is_hard and feature.scope.is_exact,
        "is_paused": allotment.is_paused,
        "thresholds": [plain(threshold) for threshold in quota.thresholds],
        "status": allotment.status,
        "period_start": period.start,
        "period_end": period.end,
        "stretches": [[one.customer_id, one.start.isoformat(), one.end.isoformat()] for one in stretches],
    }
    desired.limits[allotment.limit_id] = DesiredLimit(allotment.limit_id, customer_ids, columns)


def _gated_features(session: Session) -> set[str]:
    """Return the features that a plan or an add-on on sale has as a switch: who has not bought it is refused."""
    specs: Iterable[Mapping[str, Any]] = session.scalars(
        select(PlanVersion.spec).where(PlanVersion.status == "published")
    )
    return {feature for spec in specs for feature in _switches(spec)}


def _switches(spec: Mapping[str, Any]) -> Iterator[str]:
    for phase in spec.get("phases", (spec,)):  # an add-on has its rate cards itself
        for card in phase["rate_cards"]:
            if (card.get("entitlement") or {}).get("type") == "boolean":
                yield card["feature"]


def _add_gates(
    desired: Desired,
    features: Mapping[str, LimitedFeature],
    gated: set[str],
    customer_keys: Mapping[str, str],
    held: Mapping[str, set[str]],
) -> None:
    for key in sorted(gated):
        feature = features.get(key)
        if feature is None or feature.scope is None or not feature.scope.is_exact:
            continue
        without = tuple(sorted(one for one in customer_keys if key not in held.get(one, ())))
        gate_id = limit_id_of("not_entitled", key)
        columns: dict[str, Any] = {
            "subscription_id": None,
            "customer_id": None,
            "feature_key": key,
            "kind": feature.kind,
            "scope": feature.scope.as_json(),
            "quota": Decimal(0),
            "is_hard": True,
            "is_paused": False,
            "thresholds": [],
            "status": GATE_STATUS,
            "period_start": None,
            "period_end": None,
            "stretches": [],
        }
        desired.limits[gate_id] = DesiredLimit(gate_id, without, columns)


def _add_subjects(session: Session, desired: Desired, customer_keys: Mapping[str, str], *, now: datetime) -> None:
    """Add whose each subject is now, also of consumers that are mapped and were not seen yet.

    Of those only the ones that are mapped by Kong's id or by subject can be named before their first event.
    """
    unseen = select(
        ConsumerMapping.match, ConsumerMapping.value, ConsumerMapping.customer_id, *_validity(ConsumerMapping)
    ).where(ConsumerMapping.match.in_(("id", "subject")), _is_not_over(ConsumerMapping, now))
    owners: list[Any] = [
        (f"{CONSUMER_PREFIX}{value}" if match == "id" else value, *rest)
        for match, value, *rest in session.execute(unseen)
    ]
    seen = select(Attribution.subject, Attribution.customer_id, *_validity(Attribution))
    owners += session.execute(seen.where(_is_not_over(Attribution, now))).all()
    for subject, customer_id, valid_from, valid_to in owners:
        desired.note_change_at(valid_from, now=now)
        desired.note_change_at(valid_to, now=now)
        if valid_from <= now:
            desired.subjects[subject] = (customer_id, customer_keys[customer_id])


def _validity(table: type[Attribution] | type[ConsumerMapping]) -> tuple[Any, Any]:
    return table.valid_from, table.valid_to


def _is_not_over(table: type[Attribution] | type[ConsumerMapping], now: datetime) -> ColumnElement[bool]:
    return or_(table.valid_to.is_(None), table.valid_to > now)
