"""Move subscriptions to the version of their plan that is on sale: one, or all of a plan page by page.

Unlike a change of plan a migration goes on with the phase that the subscription is in: nobody gets a second
trial. A subscription that is there already is left as it is, so a run that was killed is simply run again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tollkeeper.catalog.plans import get_plan, get_published_version
from tollkeeper.catalog.spec import PlanSpec
from tollkeeper.catalog.tables import Plan, PlanVersion
from tollkeeper.catalog.versions import plan_spec_of
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.changing import When, finish_change, lock_subscription, moment_of
from tollkeeper.subscriptions.subscribe import check_currency
from tollkeeper.subscriptions.tables import Subscription, SubscriptionTerm
from tollkeeper.subscriptions.timeline import Segment, load_timeline


@dataclass(frozen=True, slots=True)
class Migrated:
    """A subscription, when the version on sale holds for it, and whether that is new."""

    subscription: Subscription
    moment: datetime
    is_changed: bool


@dataclass(slots=True)
class MigrationPage:
    """What became of some subscriptions of a plan: ids, and reasons by id; `next_after` is None after the last."""

    moved: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    next_after: str | None = None


def migrate(session: Session, subscription_id: str, *, at: When, now: datetime) -> Migrated:
    """Let the version on sale of the plan that the subscription is on hold from `at` on.

    A change to another plan that is planned for later stays. Raises NotFound, Conflict when the subscription
    has ended or ends before, or its plan is sold no more, InvalidInput for an instant that is past.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    moment = moment_of(timeline, at, now=now)
    segment = timeline.segment_at(moment)
    if segment is None:
        raise Conflict("the subscription ends before that time", code="subscription_ended")
    plan = session.get_one(Plan, session.get_one(PlanVersion, segment.plan_version_id).plan_id)
    version = get_published_version(session, plan.key)
    if segment.plan_version_id == version.id:
        return Migrated(subscription, moment, is_changed=False)
    _put_term(session, subscription, segment, version, moment, now=now)
    return Migrated(finish_change(session, timeline, moment=moment), moment, is_changed=True)


def _put_term(
    session: Session,
    subscription: Subscription,
    segment: Segment,
    version: PlanVersion,
    moment: datetime,
    *,
    now: datetime,
) -> None:
    old = session.get_one(SubscriptionTerm, segment.term_id)
    check_currency(plan_spec_of(version), subscription.currency, "/plan")
    phase_key, phases_from = _where_to_go_on(segment, plan_spec_of(version), moment)
    if old.starts_at == moment:
        old.removed_at = now
        session.flush()
    session.add(
        SubscriptionTerm(
            id=new_id("term"),
            subscription_id=subscription.id,
            plan_version_id=version.id,
            starts_at=moment,
            first_phase_key=phase_key,
            phases_from=phases_from,
        )
    )
    if subscription.plan_version_id == old.plan_version_id:
        subscription.plan_version_id = version.id


def _where_to_go_on(segment: Segment, spec: PlanSpec, moment: datetime) -> tuple[str, datetime]:
    """Return the phase of the same key and since when it is counted, or else the last phase from now on."""
    if any(phase.key == segment.phase.key for phase in spec.phases):
        return segment.phase.key, segment.began or segment.start
    return spec.phases[-1].key, moment


def list_outdated(
    session: Session, plan_key: str, *, now: datetime, after: str | None = None, limit: int = 100
) -> Sequence[Subscription]:
    """Return subscriptions that have not ended and hold an older version of the plan, now or later, by age.

    Also those whose migration is planned: until then they are on the older version. Raises NotFound.
    """
    plan = get_plan(session, plan_key)
    sold = get_published_version(session, plan_key)
    on_older = (
        select(SubscriptionTerm.id)
        .join(PlanVersion, PlanVersion.id == SubscriptionTerm.plan_version_id)
        .where(
            SubscriptionTerm.subscription_id == Subscription.id,
            SubscriptionTerm.removed_at.is_(None),
            PlanVersion.plan_id == plan.id,
            PlanVersion.id != sold.id,
        )
    )
    query = (
        select(Subscription)
        .where(on_older.exists(), or_(Subscription.ends_at.is_(None), Subscription.ends_at > now))
        .order_by(Subscription.id)
        .limit(limit)
    )
    return session.scalars(query if after is None else query.where(Subscription.id > after)).all()


def migrate_some(
    session: Session, plan_key: str, *, at: When, now: datetime, after: str | None = None, limit: int = 100
) -> MigrationPage:
    """Migrate the next subscriptions of a plan after an id, in this transaction; one that cannot is told of."""
    page = MigrationPage()
    rows = list_outdated(session, plan_key, now=now, after=after, limit=limit)
    for row in rows:
        try:
            with session.begin_nested():
                migrated = migrate(session, row.id, at=at, now=now)
        except (Conflict, InvalidInput) as error:
            page.refused[row.id] = error.message
        else:
            (page.moved if migrated.is_changed else page.already).append(row.id)
    page.next_after = rows[-1].id if len(rows) == limit else None
    return page
