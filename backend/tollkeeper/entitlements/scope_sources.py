"""Read what scopes are made of: features, their meters, and the routes and services that Kong has."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import Feature
from tollkeeper.entitlements.scope import KnownTraffic, Scope, scope_of
from tollkeeper.metering.tables import Meter

BUILTIN_NAMES = {"model": "llm.model"}


@dataclass(frozen=True, slots=True)
class LimitedFeature:
    """A feature as a limit sees it: `scope` is None when no traffic can match its filter."""

    key: str
    kind: str
    scope: Scope | None


def load_features(session: Session, known: KnownTraffic) -> Mapping[str, LimitedFeature]:
    """Return every feature by its key."""
    rows = session.execute(select(Feature, Meter).outerjoin(Meter, Meter.key == Feature.meter_key))
    return {feature.key: _limited(feature, meter, known) for feature, meter in rows}


def _limited(feature: Feature, meter: Meter | None, known: KnownTraffic) -> LimitedFeature:
    names = {**BUILTIN_NAMES, **(meter.group_by if meter else {})}
    merged = {**(meter.filter if meter else {}), **feature.filter}
    return LimitedFeature(feature.key, kind_of(meter), scope_of(merged, names, known))


def kind_of(meter: Meter | None) -> str:
    """Return what a limit counts: requests (a node can count them itself), tokens, or another amount."""
    if meter is None or (meter.aggregation == "count" and meter.value is None):
        return "requests"
    return "tokens" if "tokens" in (meter.value or "") else "amount"
