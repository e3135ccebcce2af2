"""The prices of a plan or an add-on in further currencies: the same rate cards, other amounts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tollkeeper.rating.commitments import Commitments
from tollkeeper.rating.problems import CheckedModel, Problem, fields_of
from tollkeeper.rating.terms import Price

# What a price must say alike in every currency: it decides when a charge is due and of how many.
ALIKE = ("type", "payment_term", "quantity")
DEFAULTS = {"payment_term": "in_advance", "quantity": 1}


class OtherPrice(CheckedModel):
    """What one rate card charges in another currency; all else is the rate card's own."""

    price: Price
    commitments: Commitments | None = None


def problems_of_prices(cards: Sequence[Any], prices: Any) -> Iterator[Problem]:
    """Yield what is wrong with the prices by rate card key that raw rate cards have in another currency."""
    all_cards = [(fields_of(card).get("key"), fields_of(card)) for card in cards]
    priced = {key: card for key, card in all_cards if isinstance(key, str) and card.get("price") is not None}
    given = fields_of(prices)
    for name in given:
        if name not in priced:
            yield (name,), "is no rate card with a price here"
    for key, card in priced.items():
        if key not in given:
            yield (key,), "is missing; every rate card with a price needs one in this currency"
            continue
        yield from (((key, *path), message) for path, message in _disagreements(card, fields_of(given[key])))


def _disagreements(card: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Problem]:
    own, price = fields_of(card.get("price")), fields_of(other.get("price"))
    for name in ALIKE if own.get("type") == "flat" else ALIKE[:1]:
        expected = own.get(name) or DEFAULTS.get(name)
        if price and str(price.get(name) or DEFAULTS.get(name)) != str(expected):
            yield ("price", name), f"must be {expected}, as in the plan's own currency"
    commitments, others = fields_of(card.get("commitments")), fields_of(other.get("commitments"))
    for name in ("minimum_amount", "maximum_amount"):
        if (commitments.get(name) is None) != (others.get(name) is None):
            words = "is missing; the rate card has one" if others.get(name) is None else "the rate card has none"
            yield ("commitments", name), words
