"""Price a rate card and read the answer as text: one line per line, then the total."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tollkeeper.money import format_minor
from tollkeeper.rating.rate import rate
from tollkeeper.rating.reading import read_document
from tollkeeper.rating.terms import RatingTerms
from tollkeeper.rating.types import Rated, RatingOptions

Charge = Callable[..., list[str]]


def options_of(
    *, events: int = 0, billed: str | None = None, complete: bool = True, fraction: Fraction = Fraction(1)
) -> RatingOptions:
    return RatingOptions(
        event_count=events,
        already_billed_quantity=None if billed is None else Decimal(billed),
        complete=complete,
        period_fraction=fraction,
    )


def as_text(rated: Rated, currency: str) -> list[str]:
    lines = [
        f"{line.kind} {line.quantity:f} x {line.unit_price:f} = {format_minor(line.amount_minor, currency)}"
        for line in rated.lines
    ]
    return [*lines, f"total {format_minor(rated.total_minor, currency)}"]


def card_of(price: dict[str, Any], **terms: Any) -> RatingTerms:
    return read_document(RatingTerms, {"price": price, **terms}, what="rate card")


@pytest.fixture
def charge() -> Charge:
    """charge(price, quantity, currency="USD", events=, billed=, complete=, fraction=, **rest of the card)."""

    def run(price: dict[str, Any], quantity: str, *, currency: str = "USD", **rest: Any) -> list[str]:
        names = ("events", "billed", "complete", "fraction")
        options = options_of(**{name: rest.pop(name) for name in names if name in rest})
        return as_text(rate(card_of(price, **rest), currency, Decimal(quantity), options=options), currency)

    return run
