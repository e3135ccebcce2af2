"""Write rated lines as the API and the command line answer them: amounts as decimal strings."""

from typing import TypedDict

from tollkeeper.money import format_minor
from tollkeeper.rating.decimals import plain
from tollkeeper.rating.types import Rated


class StatementLine(TypedDict):
    """One line; `amount` has the currency's decimals."""

    kind: str
    description: str
    quantity: str
    unit_price: str
    amount: str


class Statement(TypedDict):
    """Lines that add up to the total."""

    lines: list[StatementLine]
    total: str


def statement_of(rated: Rated, currency: str) -> Statement:
    """Return the JSON form."""
    return {
        "lines": [
            {
                "kind": line.kind.value,
                "description": line.description,
                "quantity": plain(line.quantity),
                "unit_price": plain(line.unit_price),
                "amount": format_minor(line.amount_minor, currency),
            }
            for line in rated.lines
        ],
        "total": format_minor(rated.total_minor, currency),
    }
