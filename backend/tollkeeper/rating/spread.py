"""Spread an amount over lines by largest remainder: to the smallest unit, with nothing left over."""

from collections.abc import Sequence


def spread_minor(amount_minor: int, weights: Sequence[int]) -> list[int]:
    """Return a part of the amount for each weight, in proportion; the parts add up to the amount.

    Each part is rounded down first; the units that are left go to the largest remainders, to the earlier one
    of equals. No part is further than a unit from its exact share, so an amount of at most the sum of the
    weights gives no part more than its weight. Raises ValueError for a negative amount or weight, and for an
    amount without any weight to carry it.
    """
    if amount_minor < 0 or any(weight < 0 for weight in weights):
        raise ValueError("amounts and weights are zero or more")
    whole = sum(weights)
    if whole == 0:
        if amount_minor:
            raise ValueError("there is nothing to spread the amount over")
        return [0] * len(weights)
    shares = [divmod(amount_minor * weight, whole) for weight in weights]
    parts = [share for share, _ in shares]
    left = amount_minor - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda place: -shares[place][1])
    for place in by_remainder[:left]:
        parts[place] += 1
    return parts
