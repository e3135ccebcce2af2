"""An add-on's content as a document: rate cards that are added to a subscription's plan, once or several times."""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field

from tollkeeper.catalog.currencies import OtherPrice, problems_of_prices
from tollkeeper.catalog.spec import (
    MOST_CURRENCIES,
    MOST_RATE_CARDS,
    USAGE_PRICES,
    Phase,
    RateCard,
    prices_in,
    reprice,
)
from tollkeeper.catalog.words import Currency, Key, Name
from tollkeeper.rating.problems import CheckedModel, Problem, below, duplicates_of, fields_of

PHASE_KEY = "add_on"


class AddOnSpec(CheckedModel):
    """The content of one add-on version."""

    name: Name
    currency: Currency
    instances: Literal["single", "multiple"] = Field(
        default="single", description="Whether a subscription may have several of it: fees and limits count that often."
    )
    rate_cards: tuple[RateCard, ...] = Field(min_length=1, max_length=MOST_RATE_CARDS)
    other_currencies: dict[Currency, dict[Key, OtherPrice]] = Field(
        default_factory=dict, max_length=MOST_CURRENCIES, description="Prices by currency and rate card."
    )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return the rate cards as the one phase that an add-on has: it holds for as long as it is attached."""
        return (Phase.model_construct(key=PHASE_KEY, duration=None, rate_cards=self.rate_cards),)

    @property
    def currencies(self) -> tuple[str, ...]:
        """Return the currencies that it is priced in, its own first."""
        return (self.currency, *self.other_currencies)

    def in_currency(self, code: str) -> Self:
        """Return the content with the prices of one of its currencies; raises InvalidInput for another."""
        if code == self.currency:
            return self
        prices = prices_in(self.other_currencies, code, self.currencies)
        cards = reprice(self.rate_cards, prices)
        return self.model_copy(update={"currency": code, "rate_cards": cards, "other_currencies": {}})

    @classmethod
    def problems(cls, raw: Any) -> Iterator[Problem]:
        """Yield rate cards of the same key, usage prices of what there may be several of, and missing prices."""
        spec = fields_of(raw)
        cards = spec.get("rate_cards")
        if not isinstance(cards, list | tuple):
            return
        yield from below("rate_cards", duplicates_of(cards, "key"))
        for place, card in enumerate(cards if spec.get("instances") == "multiple" else ()):
            if fields_of(fields_of(card).get("price")).get("type") in USAGE_PRICES:
                yield (
                    ("rate_cards", place, "price", "type"),
                    "must be flat: however many there are, usage is there once",
                )
        for code, prices in fields_of(spec.get("other_currencies")).items():
            if code == spec.get("currency"):
                yield ("other_currencies", code), "is the add-on's own currency"
            yield from below("other_currencies", below(code, problems_of_prices(cards, prices)))
