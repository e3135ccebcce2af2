"""Say which charges of a subscription fall due, and keep the billing run's mark.

The contract with the billing run (invoices):

- `due_subscriptions` claims subscriptions with something to look at; `due_periods` lists their charges;
  `mark_billed` says that everything due until an instant is on an invoice. All three belong in one
  transaction with the invoice lines, so a run that dies does nothing and the next one does it all.
- A charge has a name (see types.py). What goes on the invoice is what is due under the name now, minus what
  earlier documents charged under it. So a repeat adds nothing, and a charge that shrank gives a credit.
- A change of plan, an end or a quantity sets the mark back to the start of the in-advance periods that it
  cuts, so that they are listed again. A charge that was billed, that begins at or after
  `reviewed_from(subscription)` and that is not listed any more is due no more: credit all of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.spec import RateCard
from tollkeeper.subscriptions.held_cards import HeldCard, held_cards
from tollkeeper.subscriptions.periods import MICROSECOND, Period, periods_between
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import FOR_EVER, Timeline, default_quantity, load_timeline
from tollkeeper.subscriptions.types import BillingPeriod

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


def due_subscriptions(session: Session, *, now: datetime, limit: int = 100) -> Sequence[Subscription]:
    """Claim subscriptions with charges to look at, longest due first; other workers skip the claimed ones.

    SQLite has one writer at a time, so the claim is the transaction itself there.
    """
    return session.scalars(
        select(Subscription)
        .where(Subscription.next_due_at <= now)
        .order_by(Subscription.next_due_at, Subscription.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def has_charges_to_come(session: Session, customer_ids: Sequence[str]) -> bool:
    """Tell whether any subscription of these customers has a charge that is not billed yet, now or later."""
    to_come = select(Subscription.id).where(
        Subscription.customer_id.in_(customer_ids), Subscription.next_due_at.is_not(None)
    )
    return session.scalars(to_come.limit(1)).first() is not None


def due_periods(session: Session, subscription: Subscription, *, now: datetime) -> list[BillingPeriod]:
    """Return the charges that fell due after the mark and until `now`, by due time."""
    return lay_due_periods(load_timeline(session, subscription), now=now)


def lay_due_periods(timeline: Timeline, *, now: datetime) -> list[BillingPeriod]:
    """Do the same with a timeline at hand; pure."""
    since = reviewed_from(timeline.subscription)
    found = lay_billing_periods(timeline, since=since, until=now + MICROSECOND)
    return [period for period in found if since <= period.due_at <= now]


def billing_periods(
    session: Session, subscription: Subscription, *, until: datetime, since: datetime = BEGINNING
) -> list[BillingPeriod]:
    """Return all charges that overlap `[since, until)`, due or not: for previews, proofs and corrections."""
    return lay_billing_periods(load_timeline(session, subscription), since=since, until=until)


def reviewed_from(subscription: Subscription) -> datetime:
    """Return the first instant that the billing run has not answered for."""
    return BEGINNING if subscription.billed_until is None else subscription.billed_until + MICROSECOND


def mark_billed(session: Session, subscription: Subscription, *, until: datetime) -> None:
    """Say that every charge due until the instant (inclusive) is dealt with, and set when to look again."""
    mark_timeline_billed(load_timeline(session, subscription), until=until)


def mark_timeline_billed(timeline: Timeline, *, until: datetime) -> None:
    """Do the same with a timeline at hand."""
    timeline.subscription.billed_until = until
    timeline.subscription.next_due_at = next_due(timeline, after=until)


def next_due(timeline: Timeline, *, after: datetime | None) -> datetime | None:
    """Return when the next charge falls due after an instant (None: from the beginning), or None if none will."""
    mark = BEGINNING if after is None else after + MICROSECOND
    found = [
        due_at
        for held in _priced(timeline)
        if held.end is None or held.end >= mark
        if (due_at := _next_due_of(timeline, held, mark)) is not None
    ]
    return min(found, default=None)


def lay_billing_periods(timeline: Timeline, *, since: datetime, until: datetime) -> list[BillingPeriod]:
    """Return the charges that end at or after `since` and begin before `until`, by due time; pure."""
    found = [
        period
        for held in _priced(timeline)
        if held.start < until and (held.end is None or held.end >= since)
        for period in _periods_of(timeline, held, Period(since, until))
    ]
    return sorted(found, key=lambda period: (period.due_at, period.start))


def _priced(timeline: Timeline) -> Iterator[HeldCard]:
    return (held for held in held_cards(timeline) if held.card.price is not None)


def _periods_of(timeline: Timeline, held: HeldCard, window: Period) -> Iterator[BillingPeriod]:
    first = max(held.start, _just_before(window.start))
    last = window.end if held.end is None else min(held.end, window.end)
    for full in _fulls(timeline, held, first, last):
        for charge in _charges_in(timeline, held, full):
            if charge.end >= window.start and charge.start < window.end:
                yield charge


def _fulls(timeline: Timeline, held: HeldCard, first: datetime, last: datetime) -> Iterator[Period]:
    subscription = timeline.subscription
    return periods_between(subscription.anchor, held.card.billing_cadence, subscription.time_zone, first, last)


def _charges_in(timeline: Timeline, held: HeldCard, full: Period) -> Iterator[BillingPeriod]:
    """Yield a rate card's charges in one of its calendar periods.

    Pauses and changes of quantity cut a fee. They do not cut usage, whose tiers would begin anew: it has holes.
    """
    part = full.overlap(held.start, held.end)
    assert part is not None
    if held.card.price is not None and held.card.price.type == "flat":
        for open_time in part.without(timeline.pauses):
            for piece, quantity in _split_by_quantity(timeline, held, open_time):
                is_kept = held.keeps_fees and piece.end == held.end and is_in_advance(held.card)
                whole = Period(piece.start, full.end) if is_kept else piece
                yield _billing_period(timeline, held, (whole, full), quantity)
        return
    holes = [hole for one in timeline.pauses if (hole := one.overlap(part.start, part.end)) is not None]
    if part.without(holes):
        charge = _billing_period(timeline, held, (part, full), default_quantity(held.card))
        yield replace(charge, holes=tuple(holes), fraction=share_of_pieces(charge.start, charge.end, holes, full))


def share_of_pieces(start: datetime, end: datetime, holes: Sequence[Period], full: Period) -> Fraction:
    """Return which share of the full period `[start, end)` is without its holes."""
    return sum((piece.share_of(full) for piece in Period(start, end).without(holes)), Fraction(0))


def _just_before(instant: datetime) -> datetime:
    # A period that ends exactly at the window's start is inside (its usage falls due then), so look one tick earlier.
    return instant if instant == BEGINNING else instant - MICROSECOND


def _billing_period(
    timeline: Timeline, held: HeldCard, spans: tuple[Period, Period], quantity: Decimal
) -> BillingPeriod:
    piece, full = spans
    return BillingPeriod(
        subscription_id=timeline.subscription.id,
        customer_id=timeline.subscription.customer_id,
        term_id=held.term_id,
        plan_version_id=held.plan_version_id,
        phase_key=held.phase_key,
        rate_card=held.card,
        quantity=quantity * held.quantity,
        start=piece.start,
        end=piece.end,
        full=full,
        fraction=piece.share_of(full),
        due_at=piece.start if is_in_advance(held.card) else piece.end,
        override_id=held.override_id,
    )


def is_in_advance(card: RateCard) -> bool:
    """Tell whether a rate card is charged when its period begins: a flat price with that payment term."""
    price = card.price
    return price is not None and price.type == "flat" and price.payment_term == "in_advance"


def _split_by_quantity(timeline: Timeline, held: HeldCard, part: Period) -> Iterator[tuple[Period, Decimal]]:
    quantity = default_quantity(held.card)
    start = part.start
    for change in timeline.quantities:
        if change.rate_card_key != held.card.key or change.starts_at >= part.end:
            continue
        if change.starts_at > start:
            yield Period(start, change.starts_at), quantity
            start = change.starts_at
        quantity = change.quantity
    yield Period(start, part.end), quantity


def _next_due_of(timeline: Timeline, held: HeldCard, mark: datetime) -> datetime | None:
    """Look at the period around the mark and the two after it: one of them falls due next, if any does.

    A pause leaves periods without a charge, so each stretch between pauses is looked at.
    """
    for open_time in Period(held.start, held.end or FOR_EVER).without(timeline.pauses):
        first = min(max(open_time.start, _just_before(mark)), open_time.end - MICROSECOND)
        for _, full in zip(range(3), _fulls(timeline, held, first, open_time.end), strict=False):
            for charge in _charges_in(timeline, held, full):
                if charge.due_at >= mark:
                    return charge.due_at
    return None
