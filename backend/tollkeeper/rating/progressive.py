"""Progressive billing: what is due now is the rating of the whole less the rating of what was billed."""

from collections.abc import Iterator
from dataclasses import replace

from tollkeeper.money import EXACT
from tollkeeper.rating.discounts import single_line
from tollkeeper.rating.types import LineKind, RatedLine

AMOUNT_ONLY = {LineKind.DISCOUNT, LineKind.MAXIMUM_SPEND, LineKind.MINIMUM_COMMITMENT}
Key = tuple[LineKind, str, int | None]


def due_lines(whole: list[RatedLine], billed: list[RatedLine], currency: str) -> Iterator[RatedLine]:
    """Yield the difference line by line, of rounded amounts, so that the invoices of a period add up to its total.

    A line that was billed as it is falls away; one that was billed and is no longer due comes back negative.
    """
    billed_by_key = {_key(line): line for line in billed}
    for line in whole:
        earlier = billed_by_key.pop(_key(line), None)
        yield from [line] if earlier is None else _difference(line, earlier, currency)
    for earlier in billed_by_key.values():
        nothing = replace(earlier, quantity=EXACT.multiply(earlier.quantity, 0), amount_minor=0)
        yield from _difference(nothing, earlier, currency)


def _key(line: RatedLine) -> Key:
    return line.kind, line.description, line.tier


def _difference(line: RatedLine, earlier: RatedLine, currency: str) -> Iterator[RatedLine]:
    amount_minor = line.amount_minor - earlier.amount_minor
    quantity = EXACT.subtract(line.quantity, earlier.quantity)
    if line.kind in AMOUNT_ONLY:
        if amount_minor != 0:
            yield single_line(line.kind, line.description, amount_minor, currency)
    elif amount_minor != 0 or quantity != 0:
        yield replace(line, quantity=quantity, amount_minor=amount_minor)
