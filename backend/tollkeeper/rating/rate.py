"""Rate one rate card for one period (docs/money.md has the rules and their order)."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from tollkeeper.errors import InvalidInput
from tollkeeper.rating.commitments import Commitments, maximum_lines, minimum_lines
from tollkeeper.rating.discounts import Discounts, percentage_lines, without_free_units
from tollkeeper.rating.lines import PeriodUsage
from tollkeeper.rating.progressive import due_lines
from tollkeeper.rating.terms import RatingTerms
from tollkeeper.rating.types import Rated, RatedLine, RatingOptions

WITHOUT_OPTIONS = RatingOptions()
NO_DISCOUNTS = Discounts()
NO_COMMITMENTS = Commitments()


def rate(card: RatingTerms, currency: str, quantity: Decimal, *, options: RatingOptions = WITHOUT_OPTIONS) -> Rated:
    """Return the lines that are due for a period's whole quantity, less what was billed of it already.

    The quantity is counted in the feature's own unit, before conversion; a negative one is priced as zero.
    Raises InvalidInput for an unknown currency, a quantity that is no finite Decimal, and a period_fraction
    outside 0 to 1.
    """
    if not 0 <= options.period_fraction <= 1:
        raise InvalidInput.of("/period_fraction", "must be between 0 and 1")
    whole = _lines(card, currency, _billable(card, quantity, "/quantity"), options)
    if options.already_billed_quantity is None:
        return Rated(tuple(whole))
    billed_quantity = _billable(card, options.already_billed_quantity, "/already_billed_quantity")
    # What was billed earlier was billed inside the period: without minimum, volume price and fees in arrears.
    billed = _lines(card, currency, billed_quantity, replace(options, complete=False))
    return Rated(tuple(due_lines(whole, billed, currency)))


def _billable(card: RatingTerms, quantity: Decimal, path: str) -> Fraction:
    """Return the units to price: converted, without the free ones."""
    if not isinstance(quantity, Decimal) or not quantity.is_finite():
        raise InvalidInput.of(path, f"{quantity!r} is no finite decimal")
    units = max(Fraction(0), Fraction(quantity))
    if card.unit_conversion is not None:
        units = card.unit_conversion.convert(units)
    return without_free_units(units, card.discounts or NO_DISCOUNTS)


def _lines(card: RatingTerms, currency: str, units: Fraction, options: RatingOptions) -> list[RatedLine]:
    usage = PeriodUsage(units, options.event_count, options.complete, options.period_fraction)
    commitments = card.commitments or NO_COMMITMENTS
    lines = list(_price_lines(card, currency, usage))
    lines += percentage_lines(_sum(lines), card.discounts or NO_DISCOUNTS, currency)
    lines += maximum_lines(_sum(lines), commitments, currency)
    if options.complete:
        lines += minimum_lines(_sum(lines), commitments, options.period_fraction, currency)
    return lines


def _price_lines(card: RatingTerms, currency: str, usage: PeriodUsage) -> Iterator[RatedLine]:
    if card.price is None:
        return
    for exact in card.price.lines(usage):
        line = exact.rounded(currency)
        if line.amount_minor != 0 or exact.share == 1:  # a line that prorates to zero is left out
            yield line


def _sum(lines: list[RatedLine]) -> int:
    return sum(line.amount_minor for line in lines)
