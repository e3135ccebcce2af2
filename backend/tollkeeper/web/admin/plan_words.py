"""Say in words what a rate card charges and allows."""

from dataclasses import dataclass
from decimal import Decimal

from tollkeeper.catalog.spec import BooleanEntitlement, Entitlement, MeteredEntitlement, RateCard
from tollkeeper.money import write_number, write_price
from tollkeeper.rating.dynamic import DynamicPrice
from tollkeeper.rating.flat import FlatPrice
from tollkeeper.rating.graduated import GraduatedPrice
from tollkeeper.rating.package import PackagePrice
from tollkeeper.rating.percentage import PercentagePrice
from tollkeeper.rating.terms import Price
from tollkeeper.rating.unit import UnitPrice
from tollkeeper.rating.volume import VolumePrice
from tollkeeper.web.admin.formats import write_cadence

ABOUT = {
    "graduated": "Each unit at the price of its own tier.",
    "volume": "All units at the price of the tier that the total falls in.",
}


@dataclass(frozen=True, slots=True)
class TierWords:
    """One tier: which units, the price of each, what is due once."""

    units: str
    unit_price: str
    flat_price: str


@dataclass(frozen=True, slots=True)
class CardWords:
    """A rate card for people."""

    key: str
    feature: str | None
    cadence: str
    price: str
    price_about: str
    tiers: tuple[TierWords, ...]
    terms: tuple[str, ...]
    entitlement: str


def describe_card(card: RateCard, currency: str) -> CardWords:
    """Return the words of a rate card."""
    price = card.price
    tiers = price.tiers if isinstance(price, GraduatedPrice | VolumePrice) else ()
    lower = [Decimal(0), *(tier.up_to for tier in tiers if tier.up_to is not None)]
    return CardWords(
        key=card.key,
        feature=card.feature,
        cadence=write_cadence(card.billing_cadence),
        price="Free" if price is None else describe_price(price, currency),
        price_about="" if price is None else ABOUT.get(price.type, ""),
        tiers=tuple(
            TierWords(
                units=_units(start, tier.up_to),
                unit_price=write_price(tier.unit_price, currency),
                flat_price=write_price(tier.flat_price, currency) if tier.flat_price else "–",
            )
            for start, tier in zip(lower, tiers, strict=False)
        ),
        terms=tuple(_terms(card, currency)),
        entitlement=describe_entitlement(card.entitlement),
    )


def describe_price(price: Price, currency: str) -> str:
    """Return one line on a price."""
    match price:
        case FlatPrice():
            times = f" × {write_number(price.quantity)}" if price.quantity != 1 else ""
            words = f"{write_price(price.amount, currency)}{times}, {price.payment_term.replace('_', ' ')}"
        case UnitPrice():
            words = f"{write_price(price.amount, currency)} each"
        case PackagePrice():
            words = f"{write_price(price.amount, currency)} per started {write_number(price.package_size)}"
        case GraduatedPrice():
            words = "Graduated"
        case VolumePrice():
            words = "Volume"
        case DynamicPrice():
            words = f"{write_number(price.multiplier)} × what the usage cost"
        case PercentagePrice():
            words = _percentage(price, currency)
    return words


def _percentage(price: PercentagePrice, currency: str) -> str:
    text = f"{write_number(price.rate)} % of the amount"
    if price.fixed_amount:
        text += f" and {write_price(price.fixed_amount, currency)} per event"
    if price.free_events:
        text += f" after {write_number(price.free_events)} free"
    return text


def _units(start: Decimal, up_to: Decimal | None) -> str:
    if up_to is None:
        return f"above {write_number(start)}" if start else "all"
    return f"up to {write_number(up_to)}" if not start else f"{write_number(start)} to {write_number(up_to)}"


def _terms(card: RateCard, currency: str) -> list[str]:
    found = []
    conversion, discounts, commitments = card.unit_conversion, card.discounts, card.commitments
    if conversion and conversion.divide_by:
        found.append(f"units: usage ÷ {write_number(conversion.divide_by)}, rounding {conversion.rounding}")
    if conversion and conversion.multiply_by:
        found.append(f"units: usage × {write_number(conversion.multiply_by)}, rounding {conversion.rounding}")
    if discounts and discounts.usage:
        found.append(f"{write_number(discounts.usage)} free in each period")
    if discounts and discounts.percentage:
        found.append(f"{write_number(discounts.percentage)} % off")
    if commitments and commitments.minimum_amount is not None:
        found.append(f"at least {write_price(commitments.minimum_amount, currency)}")
    if commitments and commitments.maximum_amount is not None:
        found.append(f"at most {write_price(commitments.maximum_amount, currency)}")
    return found


def describe_entitlement(entitlement: Entitlement | None) -> str:
    """Return one line on what is allowed; "" if nothing is said."""
    match entitlement:
        case MeteredEntitlement() as metered:
            ending = "then warns" if metered.is_soft_limit else f"then refuses with {metered.status}"
            return f"{write_number(metered.limit)} each {write_cadence(metered.usage_period)}, {ending}"
        case BooleanEntitlement():
            return "included"
        case None:
            return ""
        case _:
            return "included, with settings"
