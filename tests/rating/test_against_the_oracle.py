"""Our rating and a second, independent reading of docs/money.md agree on random cards (`make nightly`: on 20,000)."""

import json
import os
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.rating import oracle
from tollkeeper.rating.rate import rate
from tollkeeper.rating.terms import RatingTerms
from tollkeeper.rating.types import RatingOptions

CARDS = int(os.environ.get("ORACLE_CARDS", "2000"))
NIGHTLY_CARDS = 20_000


def decimal(chance: random.Random, most: int, places: int) -> str:
    """A decimal that is often round, often lies on a half unit, and is sometimes long."""
    digits = chance.choice([chance.randint(0, 20), chance.randint(0, most), chance.randint(0, most // 5) * 5])
    return format(Decimal(digits).scaleb(-chance.randint(0, places)), "f")


def positive(chance: random.Random, most: int, places: int) -> str:
    return next(text for text in iter(lambda: decimal(chance, most, places), None) if Decimal(text) > 0)


def tiers(chance: random.Random) -> list[dict[str, Any]]:
    bounds = sorted({Decimal(positive(chance, 2000, 2)) for _ in range(chance.randint(0, 4))})
    return [
        {
            "up_to": None if bound is None else format(bound, "f"),
            "unit_price": decimal(chance, 999, 5),
            "flat_price": chance.choice(["0", decimal(chance, 9999, 3)]),
        }
        for bound in [*bounds, None]
    ]


def price(chance: random.Random) -> dict[str, Any]:
    kind = chance.choice(["flat", "unit", "graduated", "volume", "package", "dynamic", "percentage"])
    amount = decimal(chance, 99999, 5)
    return {
        "flat": lambda: {
            "amount": amount,
            "payment_term": chance.choice(["in_advance", "in_arrears"]),
            "quantity": str(chance.randint(0, 5)),
        },
        "unit": lambda: {"amount": amount},
        "graduated": lambda: {"tiers": tiers(chance)},
        "volume": lambda: {"tiers": tiers(chance)},
        "package": lambda: {"amount": amount, "package_size": positive(chance, 2000, 1)},
        "dynamic": lambda: {"multiplier": decimal(chance, 300, 2)},
        "percentage": lambda: {
            "rate": decimal(chance, 300, 2),
            "fixed_amount": decimal(chance, 99, 3),
            "free_events": str(chance.randint(0, 10)),
        },
    }[kind]() | {"type": kind}


def card(chance: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {"price": price(chance)}
    is_flat = made["price"]["type"] == "flat"
    if chance.random() < 0.5:
        made["discounts"] = {"percentage": chance.choice(["0", "100", "12.5", decimal(chance, 100, 0)])}
    if chance.random() < 0.3 and not is_flat:
        made["discounts"] = made.get("discounts", {}) | {"usage": decimal(chance, 500, 2)}
    if chance.random() < 0.4 and not is_flat:
        rounding = chance.choice(["ceiling", "floor", "half_up", "none"])
        factor = chance.choice(["divide_by", "multiply_by"])
        made["unit_conversion"] = {factor: positive(chance, 2000, 3), "rounding": rounding}
    if chance.random() < 0.4 and not is_flat:
        low, high = sorted((decimal(chance, 9999, 3), decimal(chance, 99999, 3)), key=Decimal)
        made["commitments"] = {"minimum_amount": low, "maximum_amount": high}
        made["commitments"].pop(chance.choice(["minimum_amount", "maximum_amount", "none of them"]), None)
    return made


def quantity(chance: random.Random, made: dict[str, Any]) -> Decimal:
    """A quantity that is often exactly a bound of a tier, or just past it, or less than nothing."""
    bounds = [Decimal(tier["up_to"]) for tier in made["price"].get("tiers", []) if tier["up_to"]]
    if bounds and chance.random() < 0.5:
        return chance.choice(bounds) + chance.choice([Decimal(0), Decimal("0.001"), Decimal(1)])
    return Decimal(chance.choice(["0", "-3", decimal(chance, 10**6, 3), decimal(chance, 3000, 0)]))


def test_rating_agrees_with_a_second_reading_of_the_rules() -> None:
    agree("by day", CARDS)


@pytest.mark.nightly
def test_rating_agrees_with_a_second_reading_of_the_rules_all_night() -> None:
    agree("by night", max(NIGHTLY_CARDS, CARDS))


def agree(seed: str, cards: int) -> None:
    chance = random.Random(seed)
    for _ in range(cards):
        told, currency = card(chance), chance.choice(["USD", "EUR", "JPY", "KWD"])
        terms = RatingTerms.model_validate(told)
        compare(chance, told, terms, currency)
        compare_split(chance, told, terms, currency)


def compare(chance: random.Random, told: dict[str, Any], terms: RatingTerms, currency: str) -> None:
    used = quantity(chance, told)
    billed = chance.choice([None, Decimal(0), quantity(chance, told)])
    parts = chance.choice([31, 86400, 2592000])
    fraction = chance.choice([Fraction(1), Fraction(chance.randint(0, parts), parts)])
    options = RatingOptions(chance.randint(0, 20), billed, chance.random() < 0.7, fraction)
    asked = {
        "events": options.event_count,
        "billed": None if billed is None else Fraction(billed),
        "complete": options.complete,
        "fraction": fraction,
    }
    rated = rate(terms, currency, used, options=options)
    case = json.dumps([told, currency, str(used), {name: str(value) for name, value in asked.items()}])
    assert rated.total_minor == oracle.due(told, currency, Fraction(used), asked), case
    assert rated.total_minor == sum(line.amount_minor for line in rated.lines), case
    if billed is None:
        shown = [(line.kind.value, line.amount_minor) for line in rated.lines]
        assert shown == oracle.lines_of(told, currency, Fraction(used), asked), case


def compare_split(chance: random.Random, told: dict[str, Any], terms: RatingTerms, currency: str) -> None:
    """The invoices of a period that was split come to what the oracle says of the whole period."""
    steps = [quantity(chance, told) for _ in range(chance.randint(1, 4))]
    events, charged, billed = chance.randint(0, 20), 0, None
    for place, step in enumerate(steps):
        options = RatingOptions(events, billed, complete=place == len(steps) - 1)
        charged += rate(terms, currency, step, options=options).total_minor
        billed = step
    asked = {"events": events, "billed": None, "complete": True, "fraction": Fraction(1)}
    case = json.dumps([told, currency, [str(step) for step in steps], events])
    assert charged == oracle.due(told, currency, Fraction(steps[-1]), asked), case
