"""A plan's content as a document: phases in order, each with its rate cards."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field

from tollkeeper.catalog.currencies import OtherPrice, problems_of_prices
from tollkeeper.catalog.words import Cadence, Currency, Key, Name
from tollkeeper.errors import InvalidInput
from tollkeeper.rating.decimals import NonNegative, Positive, plain, read_decimal
from tollkeeper.rating.problems import CheckedModel, Problem, below, duplicates_of, fields_of
from tollkeeper.rating.terms import Price, RatingTerms

MOST_PHASES = 20
MOST_RATE_CARDS = 200
MOST_THRESHOLDS = 20
MOST_CURRENCIES = 50
Prices = TypeVar("Prices")
USAGE_PRICES = ("unit", "graduated", "volume", "package", "dynamic", "percentage")


class MeteredEntitlement(CheckedModel):
    """A limit on a feature's usage in each usage period."""

    type: Literal["metered"]
    limit: NonNegative = Field(description="Usage that is allowed in each usage period.", examples=["1000"])
    usage_period: Cadence = Field(default="P1M", description="After so long the usage starts from 0 again.")
    is_soft_limit: bool = Field(default=False, description="Tell, but do not refuse, above the limit.")
    thresholds: tuple[Positive, ...] = Field(
        default=(Decimal(80), Decimal(100)),
        max_length=MOST_THRESHOLDS,
        description="Per cent of the limit at which a notification is sent, each once per period; increasing.",
    )
    status: Literal[402, 403, 429] = Field(default=429, description="HTTP status of a request that is refused.")

    @classmethod
    def problems(cls, raw: Any) -> Iterator[Problem]:
        """Yield thresholds that are out of order."""
        thresholds = fields_of(raw).get("thresholds")
        highest = Decimal(0)
        for index, given in enumerate(thresholds if isinstance(thresholds, list | tuple) else ()):
            try:
                threshold = read_decimal(given)
            except ValueError:
                continue
            if index and threshold <= highest:
                yield ("thresholds", index), f"must be more than the one before, {plain(highest)}"
            highest = max(highest, threshold)


class BooleanEntitlement(CheckedModel):
    """The feature is on."""

    type: Literal["boolean"]


class StaticEntitlement(CheckedModel):
    """The feature is on, with settings that an application reads."""

    type: Literal["static"]
    config: dict[str, Any] = Field(description="Any JSON object.")


class TemplateEntitlement(CheckedModel):
    """What a template holds: it takes the place of this when a draft is saved (templates.py)."""

    type: Literal["template"]
    template: Key = Field(description="Key of an entitlement template.")


Entitlement = Annotated[
    MeteredEntitlement | BooleanEntitlement | StaticEntitlement | TemplateEntitlement,
    Field(discriminator="type"),
]


class RateCard(RatingTerms):
    """What one feature costs and what it entitles to, within a phase."""

    key: Key = Field(description="Names the rate card within its phase.")
    feature: Key | None = Field(default=None, description="Key of the feature whose usage is priced and limited.")
    billing_cadence: Cadence = Field(default="P1M", description="How often it is billed.")
    entitlement: Entitlement | None = None
    tax_code: Name | None = None

    @classmethod
    def problems(cls, raw: Any) -> Iterator[Problem]:
        """Yield what a card needs that is in no field of its own."""
        yield from super().problems(raw)
        card = fields_of(raw)
        if card and card.get("price") is None and card.get("entitlement") is None:
            yield (), "needs a price, an entitlement or both"
        if card.get("feature") is None:
            yield from _feature_problems(card)

    @property
    def is_metered(self) -> bool:
        """Tell whether the feature's usage must be known: to price it or to limit it."""
        priced = self.price is not None and self.price.type != "flat"
        return priced or (self.entitlement is not None and self.entitlement.type == "metered")


def _feature_problems(card: Any) -> Iterator[Problem]:
    price, entitlement = fields_of(card.get("price")), fields_of(card.get("entitlement"))
    if price.get("type") in USAGE_PRICES:
        yield ("feature",), "is missing; a price of usage needs the feature that is used"
    elif entitlement:
        yield ("feature",), "is missing; an entitlement needs the feature that it is about"


class PreviewCard(RatingTerms):
    """A rate card of which a price preview needs the price alone; the rest is checked and not used."""

    price: Price
    key: Key | None = None
    feature: Key | None = None
    billing_cadence: Cadence = "P1M"
    entitlement: Entitlement | None = None
    tax_code: Name | None = None


class Phase(CheckedModel):
    """A stretch of a subscription: a trial is a first phase that has a duration and costs nothing."""

    key: Key
    duration: Cadence | None = Field(default=None, description="How long it holds; null for the last phase.")
    rate_cards: tuple[RateCard, ...] = Field(max_length=MOST_RATE_CARDS)

    @classmethod
    def problems(cls, raw: Any) -> Iterator[Problem]:
        """Yield rate cards of the same key."""
        yield from below("rate_cards", duplicates_of(fields_of(raw).get("rate_cards"), "key"))


class PlanSpec(CheckedModel):
    """The content of one plan version."""

    name: Name
    currency: Currency
    phases: tuple[Phase, ...] = Field(max_length=MOST_PHASES)
    other_currencies: dict[Currency, dict[Key, dict[Key, OtherPrice]]] = Field(
        default_factory=dict,
        max_length=MOST_CURRENCIES,
        description="Prices by currency, phase and rate card; a customer gets those of its own currency.",
    )
    billing_thresholds: dict[Currency, Positive] = Field(
        default_factory=dict,
        description="An interim invoice is issued when usage since the last one comes to this, by currency.",
        examples=[{"EUR": "500.00"}],
    )

    @property
    def currencies(self) -> tuple[str, ...]:
        """Return the currencies that the plan is priced in, its own first."""
        return (self.currency, *self.other_currencies)

    def in_currency(self, code: str) -> Self:
        """Return the content with the prices of one of its currencies; raises InvalidInput for another."""
        if code == self.currency:
            return self
        prices = prices_in(self.other_currencies, code, self.currencies)
        phases = tuple(
            phase.model_copy(update={"rate_cards": reprice(phase.rate_cards, prices.get(phase.key, {}))})
            for phase in self.phases
        )
        return self.model_copy(update={"currency": code, "phases": phases, "other_currencies": {}})

    @classmethod
    def problems(cls, raw: Any) -> Iterator[Problem]:
        """Yield phases of the same key, durations that leave a gap or never end, and prices that lack a currency."""
        phases = fields_of(raw).get("phases")
        if isinstance(phases, list | tuple):
            if not phases:
                yield ("phases",), "needs at least one phase"
            yield from below("phases", chain(duplicates_of(phases, "key"), _duration_problems(phases)))
            yield from below("other_currencies", _currency_problems(fields_of(raw), phases))
        priced_in = {fields_of(raw).get("currency"), *fields_of(fields_of(raw).get("other_currencies"))}
        for code in fields_of(fields_of(raw).get("billing_thresholds")):
            if code not in priced_in:
                yield ("billing_thresholds", code), "is no currency of the plan"


def prices_in(others: Mapping[str, Prices], code: str, currencies: Sequence[str]) -> Prices:
    """Return what is said of a currency; raises InvalidInput if it is none of them."""
    if code not in others:
        raise InvalidInput.of("/currency", f"is not priced in {code}, only in {', '.join(currencies)}")
    return others[code]


def reprice(cards: Sequence[RateCard], prices: Mapping[str, OtherPrice]) -> tuple[RateCard, ...]:
    """Return the rate cards with the prices of another currency."""
    return tuple(
        card.model_copy(update={"price": prices[card.key].price, "commitments": prices[card.key].commitments})
        if card.key in prices
        else card
        for card in cards
    )


def _currency_problems(spec: Mapping[str, Any], phases: Sequence[Any]) -> Iterator[Problem]:
    for code, by_phase in fields_of(spec.get("other_currencies")).items():
        if code == spec.get("currency"):
            yield (code,), "is the plan's own currency"
        given = fields_of(by_phase)
        keys = [fields_of(phase).get("key") for phase in phases]
        yield from (((code, key), "is no phase of the plan") for key in given if key not in keys)
        for phase, key in zip(phases, keys, strict=True):
            cards = fields_of(phase).get("rate_cards")
            if isinstance(key, str) and isinstance(cards, list | tuple):
                problems = problems_of_prices(cards, given.get(key))
                # a phase that is left out is one problem, not one for each rate card
                if key not in given and any(True for _ in problems):
                    yield (code, key), "is missing; its rate cards with a price need one in this currency"
                elif key in given:
                    yield from (((code, key, *path), message) for path, message in problems)


def _duration_problems(phases: list[Any] | tuple[Any, ...]) -> Iterator[Problem]:
    for index, phase in enumerate(phases):
        duration = fields_of(phase).get("duration")
        is_last = index == len(phases) - 1
        if is_last and duration is not None:
            yield (index, "duration"), "the last phase holds until the subscription ends; set it to null"
        if not is_last and duration is None:
            yield (index, "duration"), "only the last phase is open; say how long this one holds, like P1M"
