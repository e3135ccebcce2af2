"""Say what was decided for a subscription and is still to come."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import Plan, PlanVersion
from tollkeeper.subscriptions.timeline import FOR_EVER, Timeline


@dataclass(frozen=True, slots=True)
class PlannedAct:
    """One act to come; `detail` says to what.

    `kind` is change_plan, cancel, pause, resume, quantity, add_on or override.
    """

    kind: str
    at: datetime
    detail: str = ""


def planned_acts(session: Session, timeline: Timeline, *, now: datetime) -> list[PlannedAct]:
    """Return what is still to come, in order; phases that follow one another by the plan are no acts."""
    acts = (*_changes(session, timeline), *_add_ons(session, timeline), *_pauses(timeline), *_rest(timeline))
    return sorted((act for act in acts if act.at > now), key=lambda act: (act.at, act.kind))


def _changes(session: Session, timeline: Timeline) -> Iterator[PlannedAct]:
    for before, after in pairwise(timeline.segments):
        if before.term_id != after.term_id:
            version = session.get_one(PlanVersion, after.plan_version_id)
            key = session.get_one(Plan, version.plan_id).key
            yield PlannedAct("change_plan", after.start, f"{key}, version {version.version}")


def _add_ons(session: Session, timeline: Timeline) -> Iterator[PlannedAct]:
    for one in timeline.add_ons:
        key = session.get_one(Plan, one.plan_id).key
        followed = any(other.plan_id == one.plan_id and other.start == one.end for other in timeline.add_ons)
        yield PlannedAct("add_on", one.start, f"{format(one.quantity, 'f')} {key}")
        if one.end is not None and one.end != timeline.subscription.ends_at and not followed:
            yield PlannedAct("add_on", one.end, f"0 {key}")
    for own in timeline.overrides:
        yield PlannedAct("override", own.starts_at, own.rate_card_key)


def _pauses(timeline: Timeline) -> Iterator[PlannedAct]:
    for pause in timeline.pauses:
        yield PlannedAct("pause", pause.start)
        if pause.end != FOR_EVER:
            yield PlannedAct("resume", pause.end)


def _rest(timeline: Timeline) -> Iterator[PlannedAct]:
    if timeline.subscription.ends_at is not None:
        detail = "without credit" if timeline.subscription.is_rest_forfeited else ""
        yield PlannedAct("cancel", timeline.subscription.ends_at, detail)
    for change in timeline.quantities:
        if change.starts_at > timeline.subscription.started_at:
            yield PlannedAct("quantity", change.starts_at, f"{format(change.quantity, 'f')} {change.rate_card_key}")
