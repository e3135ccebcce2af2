"""Say in words what a line is for; the amounts come from elsewhere and are never changed here."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tollkeeper.invoices.charges import lines_as_json, lines_from_json
from tollkeeper.invoices.shares import Shares, is_alone, share_line, share_rest
from tollkeeper.invoices.tables import BilledPeriod, ChargeKind
from tollkeeper.rating.progressive import due_lines

CREDIT_KIND, ADJUSTMENT_KIND = "credit", "adjustment"


@dataclass(frozen=True, slots=True)
class WordedLine:
    """A line of a document before it has a place in one; `shares` if others than its customer used it."""

    kind: str
    description: str
    quantity: Decimal
    unit_price: Decimal | None
    amount_minor: int
    tier: int | None = None
    shares: Shares | None = None


def word_lines(row: BilledPeriod, plan_name: str, card_name: str) -> Iterator[WordedLine]:
    """Yield the lines of a billed charge.

    A charge shows its rated lines as they are. A line of no amount is shown only if it says how much was used
    (the included units of a tier), never a fee of nothing. A correction is one line, the difference; it may come
    to nothing and say that one customer's usage is another's.
    """
    if row.kind in {ChargeKind.CHARGE, ChargeKind.INTERIM}:
        for line in _shown_lines(row):
            if line["amount_minor"] or (line["kind"] == "usage" and Decimal(line["quantity"])):
                yield _rated(row, line, plan_name, card_name)
    elif is_worth_a_line(row):
        yield _correction(row, plan_name, card_name)


def is_worth_a_line(row: BilledPeriod) -> bool:
    """Tell whether a charge moves money: the payer's, or from one customer's share to another's."""
    return bool(row.amount_minor) or any(share["amount_minor"] for share in row.proof["moved"])


def _shown_lines(row: BilledPeriod) -> list[dict[str, Any]]:
    """Return the rated lines of a charge, less those of its interim invoices."""
    whole, before = row.proof["lines"], row.proof["lines_before"]
    if not before:
        return list(whole)
    return lines_as_json(list(due_lines(lines_from_json(whole), lines_from_json(before), row.currency)))


def _rated(row: BilledPeriod, line: dict[str, Any], plan_name: str, card_name: str) -> WordedLine:
    so_far = " so far" if row.kind == ChargeKind.INTERIM else ""
    return WordedLine(
        kind=line["kind"],
        description=f"{plan_name}, {card_name}: {line['description']}{so_far}",
        quantity=Decimal(line["quantity"]),
        unit_price=Decimal(line["unit_price"]),
        amount_minor=line["amount_minor"],
        tier=line["tier"],
        shares=_shares_of(row, line),
    )


def _shares_of(row: BilledPeriod, line: dict[str, Any]) -> Shares | None:
    """Return whose a rated line is: of what interim invoices left of it, each customer's whole less what it had."""
    whole, before = row.proof["lines"], row.proof["lines_before"]
    shares, shares_before = row.proof["shares"], row.proof["shares_before"]
    if not before:
        return share_line(line["amount_minor"], shares, row.customer_id)
    amounts = _amount_of(line, whole), _amount_of(line, before)
    return share_rest(amounts, (shares, shares_before), row.customer_id)


def _amount_of(line: dict[str, Any], lines: list[dict[str, Any]]) -> int:
    same = (one for one in lines if all(one[name] == line[name] for name in ("kind", "description", "tier")))
    return sum(one["amount_minor"] for one in same)


def _correction(row: BilledPeriod, plan_name: str, card_name: str) -> WordedLine:
    before = Decimal(row.proof["quantity_before"])
    moved = row.proof["moved"]
    shares = None if is_alone(moved, row.customer_id) else moved
    if row.proof["credited"]:
        first, last = (instant[:10] for instant in row.proof["credited"])
        return WordedLine(
            CREDIT_KIND,
            f"{plan_name}, {card_name}: unused time {first} to {last}",
            Decimal(1),
            None,
            row.amount_minor,
            shares=shares,
        )
    if row.proof["feature"] is None:
        return WordedLine(
            CREDIT_KIND if row.amount_minor < 0 else ADJUSTMENT_KIND,
            f"{plan_name}, {card_name}: {_how_a_fee_moved(row, before)}",
            Decimal(1),
            None,
            row.amount_minor,
            shares=shares,
        )
    return WordedLine(
        ADJUSTMENT_KIND,
        f"{plan_name}, {card_name}: usage of an earlier period {_how_it_moved(row.quantity, before)}",
        row.quantity - before,
        None,
        row.amount_minor,
        shares=shares,
    )


def _how_a_fee_moved(row: BilledPeriod, before: Decimal) -> str:
    if row.quantity != before and before:
        return f"{format(row.quantity, 'f')} instead of {format(before, 'f')}"
    return f"due until {row.period_end.isoformat()[:10]} after all"


def _how_it_moved(quantity: Decimal, before: Decimal) -> str:
    if quantity == before:
        return f"that others used, {format(quantity, 'f')} in all as before"
    reason = "that came late" if quantity > before else "that is not this plan's"
    return f"{reason}, {format(quantity, 'f')} in all instead of {format(before, 'f')}"
