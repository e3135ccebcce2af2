"""A second, plain reading of docs/money.md: rate a card in fractions, one step after the other, with none of our code.

It reads the card as JSON and knows nothing of models, options or lines beyond (kind, amount in minor units).
"""

from fractions import Fraction
from math import ceil, floor
from typing import Any

EXPONENTS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
Lines = list[tuple[str, int]]
Card = dict[str, Any]


def half_away(number: Fraction) -> int:
    """Round half away from zero."""
    return floor(number + Fraction(1, 2)) if number >= 0 else -floor(-number + Fraction(1, 2))


def total(lines: Lines) -> int:
    """Lines always add up to the total."""
    return sum(amount for _, amount in lines)


def due(card: Card, currency: str, quantity: Fraction, asked: dict[str, Any]) -> int:
    """Return rating(whole) minus rating(billed), which is rated as an invoice inside the period."""
    whole = total(lines_of(card, currency, quantity, asked))
    if asked["billed"] is None:
        return whole
    return whole - total(lines_of(card, currency, asked["billed"], asked | {"complete": False}))


def lines_of(card: Card, currency: str, quantity: Fraction, asked: dict[str, Any]) -> Lines:
    """Return the lines of a quantity: conversion, free units, price, percentage, maximum, minimum."""
    unit = Fraction(10) ** EXPONENTS[currency]
    units = free_of(card, converted(card, max(quantity, Fraction(0))))
    lines = [
        (kind, half_away(exact * unit))
        for kind, exact in priced(card["price"], units, asked)
        if kind != "flat fee" or asked["fraction"] == 1 or half_away(exact * unit)
    ]
    lines = [("flat" if kind == "flat fee" else kind, amount) for kind, amount in lines]
    percentage = Fraction((card.get("discounts") or {}).get("percentage", 0))
    off = half_away(Fraction(total(lines)) * percentage / 100)
    lines += [("discount", -off)] if off else []
    bounds = card.get("commitments") or {}
    if "maximum_amount" in bounds:
        over = total(lines) - half_away(Fraction(bounds["maximum_amount"]) * unit)
        lines += [("maximum_spend", -over)] if over > 0 else []
    if "minimum_amount" in bounds and asked["complete"]:
        missing = half_away(Fraction(bounds["minimum_amount"]) * asked["fraction"] * unit) - total(lines)
        lines += [("minimum_commitment", missing)] if missing > 0 else []
    return lines


def converted(card: Card, quantity: Fraction) -> Fraction:
    """Unit conversion comes first."""
    how = card.get("unit_conversion")
    if not how:
        return quantity
    exact = quantity / Fraction(how["divide_by"]) if "divide_by" in how else quantity * Fraction(how["multiply_by"])
    return {
        "ceiling": lambda: Fraction(ceil(exact)),
        "floor": lambda: Fraction(floor(exact)),
        "half_up": lambda: Fraction(half_away(exact)),
        "none": lambda: exact,
    }[how.get("rounding", "none")]()


def free_of(card: Card, units: Fraction) -> Fraction:
    """Free units come second."""
    return max(Fraction(0), units - Fraction((card.get("discounts") or {}).get("usage", 0)))


def priced(price: Card, units: Fraction, asked: dict[str, Any]) -> list[tuple[str, Fraction]]:
    """Return what the price model says, exactly: each tier's usage and each tier's flat price by itself."""
    kind = price["type"]
    if kind == "flat":
        return flat(price, asked)
    if kind == "graduated":
        return graduated(price["tiers"], units)
    if kind == "volume":
        return volume(price["tiers"], units) if asked["complete"] else []
    if kind == "percentage":
        return percentage_of(price, units, asked)
    if kind == "package":
        amount = ceil(units / Fraction(price["package_size"])) * Fraction(price["amount"])
    else:
        amount = units * Fraction(price["amount"] if kind == "unit" else price["multiplier"])
    return [("usage", amount)] if units > 0 else []


def flat(price: Card, asked: dict[str, Any]) -> list[tuple[str, Fraction]]:
    """The fee of all seats, prorated by time; in arrears not before the end."""
    if price["payment_term"] == "in_arrears" and not asked["complete"]:
        return []
    seats = Fraction(price["quantity"])
    return [("flat fee", Fraction(price["amount"]) * seats * asked["fraction"])] if seats else []


def graduated(tiers: list[Card], units: Fraction) -> list[tuple[str, Fraction]]:
    """Each unit in its own tier; the first tier is always reached, the others by more than the bound before."""
    lines, below = [], Fraction(0)
    for place, tier in enumerate(tiers):
        if place and not units > below:
            break
        top = units if tier["up_to"] is None else min(units, Fraction(tier["up_to"]))
        lines += of_tier(tier, max(Fraction(0), top - below))
        below = Fraction(0) if tier["up_to"] is None else Fraction(tier["up_to"])
    return lines


def volume(tiers: list[Card], units: Fraction) -> list[tuple[str, Fraction]]:
    """Every unit in the tier of the total."""
    return of_tier(next(t for t in tiers if t["up_to"] is None or units <= Fraction(t["up_to"])), units)


def of_tier(tier: Card, units: Fraction) -> list[tuple[str, Fraction]]:
    """A tier's usage and its flat price are a line each."""
    usage = [("usage", units * Fraction(tier["unit_price"]))] if units > 0 else []
    return usage + ([("flat", Fraction(tier["flat_price"]))] if Fraction(tier["flat_price"]) else [])


def percentage_of(price: Card, units: Fraction, asked: dict[str, Any]) -> list[tuple[str, Fraction]]:
    """Per cent of the money; an amount for each event that is not free, when the period is over."""
    lines = [("usage", units * Fraction(price["rate"]) / 100)] if units > 0 else []
    charged = max(0, asked["events"] - int(price["free_events"]))
    if asked["complete"] and charged and Fraction(price["fixed_amount"]):
        lines.append(("usage", charged * Fraction(price["fixed_amount"])))
    return lines
