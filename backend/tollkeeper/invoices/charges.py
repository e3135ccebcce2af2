"""Price one charge of a subscription: its usage or its seats, by its rate card, for its stretch of time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tollkeeper.catalog.spec import RateCard
from tollkeeper.rating.rate import rate
from tollkeeper.rating.types import LineKind, Rated, RatedLine, RatingOptions
from tollkeeper.subscriptions.coverage import Coverage, CoveredStretch
from tollkeeper.subscriptions.types import BillingPeriod
from tollkeeper.usage.reading import Want
from tollkeeper.usage.usage_of import Pool


@dataclass(frozen=True, slots=True)
class ChargeName:
    """What identifies a charge for ever, whatever becomes of its plan later."""

    subscription_id: str
    term_id: str
    phase_key: str
    rate_card_key: str
    start: datetime


@dataclass(frozen=True, slots=True)
class PricedCharge:
    """A charge, whose usage it is about (None for a flat fee), and what it comes to."""

    period: BillingPeriod
    quantity: Decimal
    event_count: int
    rated: Rated
    stretches: Sequence[CoveredStretch] = ()
    pool: Pool | None = None

    @property
    def name(self) -> ChargeName:
        """Return the charge's name."""
        return name_of(self.period)


def name_of(period: BillingPeriod) -> ChargeName:
    """Return the name of a charge."""
    return ChargeName(period.subscription_id, period.term_id, period.phase_key, period.rate_card.key, period.start)


def is_by_usage(card: RateCard) -> bool:
    """Tell whether a rate card charges for usage; all others charge a flat fee."""
    return card.price is not None and card.price.type != "flat"


def want_of(period: BillingPeriod, coverage: Coverage) -> Want:
    """Return what usage a usage charge is about: that of all whom the subscription covers."""
    assert period.rate_card.feature is not None, "a plan whose usage price has no feature is not published"
    stretches = [
        stretch for piece in period.pieces for stretch in coverage.stretches(period.customer_id, piece.start, piece.end)
    ]
    return Want(period.rate_card.feature, tuple(stretches))


def price_charge(
    period: BillingPeriod,
    currency: str,
    coverage: Coverage,
    measure: Callable[[Want], Pool],
    *,
    is_complete: bool = True,
) -> PricedCharge:
    """Return what is due for the whole charge now, from the usage as it is measured now.

    An incomplete one is priced as it is inside its period (docs/money.md, Progressive billing). The usage of all
    whom the subscription covers is priced as one, so tiers and packages are filled together.
    """
    if not is_by_usage(period.rate_card):
        return PricedCharge(period, period.quantity, 0, rate_quantity(period, currency, period.quantity, 0))
    want = want_of(period, coverage)
    pool = measure(want)
    quantity, event_count = pool.whole.quantity, pool.whole.event_count
    rated = rate_quantity(period, currency, quantity, event_count, is_complete=is_complete)
    return PricedCharge(period, quantity, event_count, rated, want.stretches, pool)


def rate_quantity(
    period: BillingPeriod, currency: str, quantity: Decimal, event_count: int, *, is_complete: bool = True
) -> Rated:
    """Return the lines of a charge for a given quantity: used to bill, to preview and to verify."""
    card = period.rate_card
    options = RatingOptions(event_count=event_count, complete=is_complete, period_fraction=period.fraction)
    if is_by_usage(card) or card.price is None:
        return rate(card, currency, quantity, options=options)
    # a subscription's own number of seats takes the place of the plan's
    seats = card.price.model_copy(update={"quantity": quantity})
    return rate(card.model_copy(update={"price": seats}), currency, quantity, options=options)


def lines_as_json(lines: Sequence[RatedLine]) -> list[dict[str, Any]]:
    """Return rated lines as they are kept in the proof of a charge: decimals as text."""
    return [
        {
            "kind": line.kind.value,
            "description": line.description,
            "quantity": format(line.quantity, "f"),
            "unit_price": format(line.unit_price, "f"),
            "amount_minor": line.amount_minor,
            "tier": line.tier,
        }
        for line in lines
    ]


def lines_from_json(lines: Sequence[dict[str, Any]]) -> list[RatedLine]:
    """Return rated lines as they were before they were kept."""
    return [
        RatedLine(
            LineKind(line["kind"]),
            line["description"],
            Decimal(line["quantity"]),
            Decimal(line["unit_price"]),
            line["amount_minor"],
            line["tier"],
        )
        for line in lines
    ]
