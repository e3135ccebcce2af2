"""Share a charge among the customers who used it: by quantity, to the smallest unit, by largest remainder.

A subscription may cover subsidiaries, and its usage is priced once, over all of them together. What each of
them used is kept with the charge, and each line is shared in these proportions. The shares only explain a
line; they never change its amount.
"""

from decimal import Decimal
from typing import Any

from tollkeeper.money import EXACT
from tollkeeper.rating.spread import spread_minor
from tollkeeper.rating.types import Rated
from tollkeeper.usage.usage_of import Pool

Shares = list[dict[str, Any]]


def share_charge(holder_id: str, pool: Pool, rated: Rated) -> Shares:
    """Return what each customer used of a charge and its part of the whole amount, as the proof keeps it.

    They are in order of their ids, so that of equal remainders the older customer's is the first. Where nobody
    used anything, it is all the subscription's own customer's.
    """
    shares: Shares = [
        {"customer": customer_id, "quantity": _text(usage.quantity), "event_count": usage.event_count}
        for customer_id, usage in sorted(pool.by_customer.items())
    ] or [{"customer": holder_id, "quantity": "0", "event_count": 0}]
    parts = [spread(line.amount_minor, shares) for line in rated.lines]
    return [share | {"amount_minor": sum(part[place] for part in parts)} for place, share in enumerate(shares)]


def share_line(amount_minor: int, shares: Shares, holder_id: str) -> Shares | None:
    """Return a line's shares; None if its customer alone used it all. `quantity` is of the whole charge."""
    if is_alone(shares, holder_id):
        return None
    return [
        {"customer": share["customer"], "quantity": share["quantity"], "amount_minor": part}
        for share, part in zip(shares, spread(amount_minor, shares), strict=True)
    ]


def share_rest(amounts_minor: tuple[int, int], shares: tuple[Shares, Shares], holder_id: str) -> Shares | None:
    """Return the shares of what is left of a line after an interim invoice; both pairs are (whole, before).

    Each customer has its part of the whole less its part of what was billed before, so however a period was split,
    its invoices come to the same for everybody. None if the line is its customer's alone.
    """
    whole, before = shares
    if is_alone(whole, holder_id) and is_alone(before, holder_id):
        return None
    quantities = {share["customer"]: share["quantity"] for share in (*before, *whole)}
    left = dict.fromkeys(quantities, 0)
    for sign, amount_minor, some in ((1, amounts_minor[0], whole), (-1, amounts_minor[1], before)):
        for share, part in zip(some, spread(amount_minor, some), strict=True):
            left[share["customer"]] += sign * part
    return [
        {"customer": customer_id, "quantity": quantities[customer_id], "amount_minor": left[customer_id]}
        for customer_id in sorted(left)
    ]


def share_correction(before: Shares, after: Shares) -> Shares:
    """Return by how much each customer's quantity and amount moved; those of whom nothing moved are left out."""
    was, now = ({share["customer"]: share for share in shares} for shares in (before, after))
    nothing = {"quantity": "0", "amount_minor": 0}
    moved = []
    for customer_id in sorted(was.keys() | now.keys()):
        old, new = was.get(customer_id, nothing), now.get(customer_id, nothing)
        quantity = EXACT.subtract(Decimal(new["quantity"]), Decimal(old["quantity"]))
        amount = new["amount_minor"] - old["amount_minor"]
        if quantity or amount:
            moved.append({"customer": customer_id, "quantity": _text(quantity), "amount_minor": amount})
    return moved


def is_alone(shares: Shares, customer_id: str) -> bool:
    """Tell whether nobody but this customer has a share."""
    return all(share["customer"] == customer_id for share in shares)


def spread(amount_minor: int, shares: Shares) -> list[int]:
    """Return a part of the amount, which may be negative, for each share; the parts add up to the amount."""
    parts = spread_minor(abs(amount_minor), _weights(shares))
    return parts if amount_minor >= 0 else [-part for part in parts]


def _weights(shares: Shares) -> list[int]:
    """Return whole numbers in proportion to the quantities; if these are all zero, the numbers of events."""
    quantities = [max(Decimal(share["quantity"]), Decimal(0)) for share in shares]
    if any(quantities):
        places = max(-int(quantity.as_tuple().exponent) for quantity in quantities)
        return [int(EXACT.scaleb(quantity, max(places, 0))) for quantity in quantities]
    return [share["event_count"] for share in shares] if any(share["event_count"] for share in shares) else [1]


def _text(quantity: Decimal) -> str:
    return format(EXACT.normalize(quantity), "f")
