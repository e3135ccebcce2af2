"""Say which rate cards a subscription holds when: its plan's, with its overrides, and its add-ons'; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tollkeeper.catalog.spec import RateCard
from tollkeeper.subscriptions.timeline import Override, Segment, Timeline


@dataclass(frozen=True, slots=True)
class HeldCard:
    """A rate card and the stretch of time in which it holds; `end` is None while that is open.

    `quantity` is how many of the add-on there are. `override_id` says that the card is this subscription's own.
    """

    term_id: str
    plan_version_id: str
    phase_key: str
    card: RateCard
    start: datetime
    end: datetime | None
    quantity: Decimal = Decimal(1)
    override_id: str | None = None
    keeps_fees: bool = False
    is_of_add_on: bool = False

    def contains(self, instant: datetime) -> bool:
        """Tell whether the rate card holds at the instant."""
        return self.start <= instant and (self.end is None or instant < self.end)


def held_cards(timeline: Timeline) -> Iterator[HeldCard]:
    """Yield every rate card that ever holds, the plan's first; one that an override replaces is cut there."""
    for segment in timeline.segments:
        yield from _cards_of(timeline, segment)
    for segment in timeline.add_ons:
        yield from _cards_of(timeline, segment, is_of_add_on=True)


def held_at(timeline: Timeline, instant: datetime) -> list[HeldCard]:
    """Return what holds at the instant, the plan's first."""
    return [held for held in held_cards(timeline) if held.contains(instant)]


def _cards_of(timeline: Timeline, segment: Segment, *, is_of_add_on: bool = False) -> Iterator[HeldCard]:
    own = {card.key: card for card in segment.phase.rate_cards}
    changes: dict[str, list[Override]] = {}
    for change in timeline.overrides:
        is_of_segment = (change.plan_id, change.phase_key) == (segment.plan_id, segment.phase.key)
        if is_of_segment and (segment.end is None or change.starts_at < segment.end):
            changes.setdefault(change.rate_card_key, []).append(change)
    for key in dict.fromkeys((*own, *changes)):
        for start, end, card, override_id in _stretches(segment, own.get(key), changes.get(key, ())):
            yield HeldCard(
                segment.term_id,
                segment.plan_version_id,
                segment.phase.key,
                card,
                start,
                end,
                segment.quantity,
                override_id,
                segment.keeps_fees and end == segment.end,
                is_of_add_on,
            )


def _stretches(
    segment: Segment, own: RateCard | None, changes: Sequence[Override]
) -> Iterator[tuple[datetime, datetime | None, RateCard, str | None]]:
    start, card, override_id = segment.start, own, None
    for change in changes:
        if change.starts_at > start:
            if card is not None:
                yield start, change.starts_at, card, override_id
            start = change.starts_at
        card, override_id = _after(change, own)
    if card is not None:
        yield start, segment.end, card, override_id


def _after(change: Override, own: RateCard | None) -> tuple[RateCard | None, str | None]:
    if change.is_reset:
        return own, None
    if change.rate_card is None or (own is None and not change.is_added):
        return None, None
    return change.rate_card, change.id
