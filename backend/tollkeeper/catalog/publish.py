"""Check a plan's draft against the catalog and put it on sale."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import find_version_in, get_plan
from tollkeeper.catalog.spec import PlanSpec, RateCard
from tollkeeper.catalog.tables import Feature, PlanKind, PlanVersion
from tollkeeper.catalog.templates import fill_in
from tollkeeper.catalog.versions import Spec, spec_of
from tollkeeper.errors import Conflict, FieldError, InvalidInput
from tollkeeper.storage.changes import note_change


def publish_plan(session: Session, key: str, *, now: datetime, kind: PlanKind = PlanKind.PLAN) -> PlanVersion:
    """Put the draft on sale and archive the version that was; subscriptions stay on theirs.

    Raises InvalidInput with every field that keeps it from being sold, Conflict if there is no draft.
    """
    plan = get_plan(session, key, is_locked=True, kind=kind)
    draft = find_version_in(session, plan, "draft")
    if draft is None:
        raise Conflict(f"the {plan.word} {key!r} has no draft to publish")
    spec = spec_of(draft)
    check_publishable(session, spec)
    earlier = find_version_in(session, plan, "published")
    if earlier is not None:
        earlier.status = "archived"
        earlier.archived_at = now
        session.flush()  # at most one is published, also between two statements
    draft.status = "published"
    draft.published_at = now
    plan.name = spec.name
    session.flush()
    note_change(session, "catalog")
    return draft


def check_publishable(session: Session, spec: Spec) -> None:
    """Check what a document alone cannot tell; raises InvalidInput with the path of each wrong field."""
    problems = tuple(_feature_problems(session, fill_in(session, spec)))
    if problems:
        raise InvalidInput(f"the plan cannot be published: {problems[0].path}: {problems[0].message}", problems)


def check_rate_card(session: Session, card: RateCard, path: str) -> None:
    """Check one rate card against the catalog; raises InvalidInput with its feature's path below `path`."""
    feature = session.scalar(select(Feature).where(Feature.key == card.feature)) if card.feature else None
    problem = card.feature and _problem_of(feature, card.feature, needs_meter=card.is_metered)
    if problem:
        raise InvalidInput.of(f"{path}/feature", problem)


def _feature_problems(session: Session, spec: Spec) -> Iterator[FieldError]:
    named = {card.feature for phase in spec.phases for card in phase.rate_cards if card.feature is not None}
    features = {feature.key: feature for feature in session.scalars(select(Feature).where(Feature.key.in_(named)))}
    for at_phase, phase in enumerate(spec.phases):
        for at_card, card in enumerate(phase.rate_cards):
            if card.feature is not None:
                problem = _problem_of(features.get(card.feature), card.feature, needs_meter=card.is_metered)
                if problem:
                    at = f"/phases/{at_phase}" if isinstance(spec, PlanSpec) else ""
                    yield FieldError(f"{at}/rate_cards/{at_card}/feature", problem)


def _problem_of(feature: Feature | None, key: str, *, needs_meter: bool) -> str | None:
    if feature is None:
        return f"there is no feature {key!r}; create it first"
    if feature.archived_at is not None:
        return f"the feature {key!r} is archived"
    if needs_meter and feature.meter_key is None:
        return f"the feature {key!r} has no meter, so its usage is not known"
    return None
