"""Give one subscription prices of its own: other terms of a rate card, a further rate card, or one less.

An override holds from an instant until the next one for the same rate card, while the subscription is on the
plan and in the phase that it is about; it stays when the plan is migrated. It is never edited, so what was
billed by it can be proved for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import update
from sqlalchemy.orm import Session

from tollkeeper.catalog.publish import check_rate_card
from tollkeeper.catalog.spec import Phase, RateCard
from tollkeeper.catalog.tables import PlanVersion
from tollkeeper.catalog.templates import fill_in_card
from tollkeeper.catalog.versions import spec_of
from tollkeeper.errors import Conflict, FieldError, InvalidInput
from tollkeeper.rating.reading import read_document
from tollkeeper.storage.ids import new_id
from tollkeeper.subscriptions.billing_periods import next_due
from tollkeeper.subscriptions.changing import When, finish_change, lock_subscription, moment_of
from tollkeeper.subscriptions.tables import Subscription, SubscriptionOverride
from tollkeeper.subscriptions.timeline import Segment, Timeline, load_timeline

OWN_TERMS = frozenset({"price", "discounts", "commitments", "unit_conversion", "entitlement"})
Act = Literal["set", "add", "drop", "reset"]


@dataclass(frozen=True, slots=True)
class OverrideDraft:
    """What to do with a rate card: `terms` are the fields to set, or all fields but the key of one to add.

    `phase` is the key of a phase of the plan; None means the one that holds at that time.
    """

    act: Act
    rate_card_key: str
    terms: Mapping[str, Any] = field(default_factory=dict)
    phase: str | None = None


def override(
    session: Session, subscription_id: str, draft: OverrideDraft, *, at: When, now: datetime
) -> SubscriptionOverride:
    """Let the override hold from `at` on; one of the same rate card that was planned for later is taken back.

    Raises NotFound, Conflict when the subscription has ended or ends before, InvalidInput with the path of each
    wrong field, and for an instant that is past: what was billed is not changed.
    """
    subscription = lock_subscription(session, subscription_id, now=now)
    timeline = load_timeline(session, subscription)
    moment = moment_of(timeline, at, now=now)
    row = _write(session, timeline, draft, moment, now=now)
    finish_change(session, timeline, moment=moment)
    return row


def override_from_the_start(
    session: Session, subscription: Subscription, draft: OverrideDraft, *, now: datetime
) -> SubscriptionOverride:
    """Let the override hold for the whole of a subscription that is made in this transaction, also a backdated one."""
    row = _write(session, load_timeline(session, subscription), draft, subscription.started_at, now=now)
    subscription.next_due_at = next_due(load_timeline(session, subscription), after=None)
    return row


def undo_overrides(session: Session, subscription: Subscription, now: datetime) -> datetime | None:
    """Take back every override that is still to come; return the first instant that this changes, if any."""
    planned = [one for one in load_timeline(session, subscription).overrides if one.starts_at > now]
    ids = [one.id for one in planned]
    session.execute(update(SubscriptionOverride).where(SubscriptionOverride.id.in_(ids)).values(removed_at=now))
    return min((one.starts_at for one in planned), default=None)


def _write(
    session: Session, timeline: Timeline, draft: OverrideDraft, moment: datetime, *, now: datetime
) -> SubscriptionOverride:
    segment = timeline.segment_at(moment)
    if segment is None:
        raise Conflict("the subscription ends before that time", code="subscription_ended")
    phase = _phase_of(session, timeline, segment, draft.phase)
    card = _card_of(session, phase, draft)
    later = [
        one.id
        for one in timeline.overrides
        if (one.plan_id, one.phase_key, one.rate_card_key) == (segment.plan_id, phase.key, draft.rate_card_key)
        and one.starts_at >= moment
    ]
    session.execute(update(SubscriptionOverride).where(SubscriptionOverride.id.in_(later)).values(removed_at=now))
    row = SubscriptionOverride(
        id=new_id("over"),
        subscription_id=timeline.subscription.id,
        plan_id=segment.plan_id,
        phase_key=phase.key,
        rate_card_key=draft.rate_card_key,
        rate_card=None if card is None else card.model_dump(mode="json"),
        is_added=draft.act == "add",
        is_reset=draft.act == "reset",
        starts_at=moment,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def _phase_of(session: Session, timeline: Timeline, segment: Segment, key: str | None) -> Phase:
    if key is None:
        return segment.phase
    spec = spec_of(session.get_one(PlanVersion, segment.plan_version_id)).in_currency(timeline.subscription.currency)
    phase = next((phase for phase in spec.phases if phase.key == key), None)
    if phase is None:
        keys = ", ".join(phase.key for phase in spec.phases)
        raise InvalidInput.of("/phase", f"the plan has no phase {key!r}; it has {keys}")
    return phase


def _card_of(session: Session, phase: Phase, draft: OverrideDraft) -> RateCard | None:
    own = next((card for card in phase.rate_cards if card.key == draft.rate_card_key), None)
    if draft.act in ("drop", "reset"):
        return None
    if draft.act == "add":
        if own is not None:
            raise InvalidInput.of("/rate_card", f"the phase {phase.key!r} has a rate card of this key; set its terms")
        terms: Mapping[str, Any] = draft.terms
    else:
        if own is None:
            raise InvalidInput.of("/rate_card", f"the phase {phase.key!r} has no rate card {draft.rate_card_key!r}")
        _check_names(draft.terms)
        terms = {**own.model_dump(mode="json", exclude={"key"}), **draft.terms}
    card = fill_in_card(session, _read(terms, draft.rate_card_key), "/terms")
    check_rate_card(session, card, "/terms")
    return card


def _check_names(terms: Mapping[str, Any]) -> None:
    wrong = tuple(
        FieldError(f"/terms/{name}", f"stays the plan's; {', '.join(sorted(OWN_TERMS))} can be set")
        for name in terms
        if name not in OWN_TERMS
    )
    if wrong or not terms:
        raise InvalidInput("no terms to set" if not wrong else f"{wrong[0].path}: {wrong[0].message}", wrong)


def _read(terms: Mapping[str, Any], key: str) -> RateCard:
    try:
        return read_document(RateCard, {**terms, "key": key}, what="rate card")
    except InvalidInput as error:
        fields = tuple(FieldError(f"/terms{wrong.path}", wrong.message) for wrong in error.fields)
        raise InvalidInput(error.message, fields) from None
