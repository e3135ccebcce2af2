"""However a subscription is changed, its charges tile its time: nothing is charged twice, nothing is left out."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shop import flat, per_unit
from tollkeeper.catalog.spec import Phase
from tollkeeper.subscriptions.billing_periods import lay_billing_periods, next_due
from tollkeeper.subscriptions.periods import MICROSECOND
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import QuantityChange, Segment, Timeline
from tollkeeper.subscriptions.types import BillingPeriod

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
LAST = START + timedelta(days=800)
PHASE = Phase.model_validate(
    {"key": "main", "rate_cards": [flat(), flat("yearly", cadence="P1Y"), per_unit("calls", "calls", cadence="P1W")]}
)
OFFSETS = st.lists(st.integers(1, 799 * 86_400), max_size=5, unique=True)


def timeline_of(changes: list[int], quantities: list[int], anchor_days: int, zone: str) -> Timeline:
    starts = [START, *(START + timedelta(seconds=offset) for offset in sorted(changes))]
    segments = [
        Segment(f"term_{number}", f"pv_{number}", PHASE, start, end)
        for number, (start, end) in enumerate(pairwise([*starts, LAST]))
    ]
    subscription = Subscription(
        id="sub_1",
        customer_id="cus_1",
        time_zone=zone,
        anchor=START + timedelta(days=anchor_days),
        started_at=START,
        ends_at=LAST,
    )
    seats = [
        QuantityChange("fee", Decimal(number), START + timedelta(seconds=offset))
        for number, offset in enumerate(sorted(quantities))
    ]
    return Timeline(subscription, segments, seats)


TIMELINES = st.builds(
    timeline_of, OFFSETS, OFFSETS, st.integers(-40, 40), st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"])
)


@settings(deadline=None)
@given(TIMELINES)
def test_the_charges_of_each_rate_card_tile_the_subscription(timeline: Timeline) -> None:
    for key in ("fee", "yearly", "calls"):
        charges = charges_of(timeline, key)
        assert charges[0].start == START
        assert charges[-1].end == LAST
        assert all(one.end == other.start for one, other in pairwise(charges))


@settings(deadline=None)
@given(TIMELINES)
def test_the_fractions_of_a_full_period_add_up_to_the_part_that_is_covered(timeline: Timeline) -> None:
    sums: dict[datetime, Fraction] = {}
    charges = charges_of(timeline, "fee")
    for charge in charges:
        sums[charge.full.start] = sums.get(charge.full.start, Fraction(0)) + charge.fraction
    inside = [charge.full.start for charge in charges if charge.full.start >= START and charge.full.end <= LAST]
    assert all(sums[start] == 1 for start in inside)


@settings(deadline=None, max_examples=40)
@given(TIMELINES)
def test_following_the_due_times_one_by_one_finds_every_charge_once(timeline: Timeline) -> None:
    everything = lay_billing_periods(timeline, since=START, until=LAST + timedelta(days=400))
    found: list[BillingPeriod] = []
    mark: datetime | None = None
    while (due := next_due(timeline, after=mark)) is not None:
        assert mark is None or due > mark
        found += [one for one in lay_billing_periods(timeline, since=due, until=due + MICROSECOND) if one.due_at == due]
        mark = due
    assert sorted(map(name, found)) == sorted(map(name, everything))


def charges_of(timeline: Timeline, key: str) -> list[BillingPeriod]:
    found = lay_billing_periods(timeline, since=START, until=LAST)
    return sorted((one for one in found if one.rate_card.key == key), key=lambda one: one.start)


def name(charge: BillingPeriod) -> tuple[str, str, datetime]:
    return charge.term_id, charge.rate_card.key, charge.start
