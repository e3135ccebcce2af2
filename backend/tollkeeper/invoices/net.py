"""What is left of each charge on an invoice after coupons, and after credit that is drawn before tax.

The lines of these steps say in their proof what they took off which line (`parts`), so that the tax of a line, a
credit note for it and a proof by a stranger start from the same number.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tollkeeper.invoices.reading import parts_of
from tollkeeper.invoices.tables import PREPAID_CREDIT, TAX, InvoiceLine
from tollkeeper.rating.decimals import round_half_up
from tollkeeper.rating.spread import spread_minor

Parts = list[dict[str, Any]]


def net_of_lines(lines: Iterable[InvoiceLine]) -> dict[str, int]:
    """Return what is left of each charge's line, by id, after the lines that took something off it."""
    net: dict[str, int] = {}
    for line in lines:
        if line.billed_period_id is not None:
            net[line.id] = line.amount_minor
        for part in line.proof.get("parts", ()):
            net[part["line"]] -= part["amount_minor"]
    return net


def net_before_credit(lines: Iterable[InvoiceLine]) -> dict[str, int]:
    """Return what coupons left of each charge's line, by id: what credit notes may take back, however it was paid."""
    return net_of_lines(line for line in lines if line.kind != PREPAID_CREDIT)


def net_before_tax(lines: Sequence[InvoiceLine]) -> dict[str, int]:
    """Return what credit notes may take back of each charge's line before tax, by id: without tax that is inside.

    The tax inside of the lines of one rate is spread over them by largest remainder, so that all of them together
    come to what was taxed. Beside credits, which lessen it, the lines hold more of it than the rate's line says.
    """
    net = net_before_credit(lines)
    for tax_line in (line for line in lines if line.kind == TAX and line.proof["is_inclusive"]):
        ids = tax_line.proof["lines"]
        whole, weights = sum(net[line_id] for line_id in ids), [max(0, net[line_id]) for line_id in ids]
        inside = round_half_up(Fraction(tax_line.proof["tax_minor"] * sum(weights), whole)) if whole else 0
        for line_id, part in zip(ids, spread_minor(max(0, inside), weights), strict=True):
            net[line_id] -= part
    return net


def charges_of(lines: Iterable[InvoiceLine]) -> list[InvoiceLine]:
    """Return the lines that charges are behind."""
    return [line for line in lines if line.billed_period_id is not None]


def parts_by_line(lines: Sequence[InvoiceLine], amounts: Sequence[int]) -> Parts:
    """Return what is taken off which line as a proof keeps it; nothing is left out but nothing."""
    return [{"line": line.id, "amount_minor": amount} for line, amount in zip(lines, amounts, strict=True) if amount]


def shares_of_parts(payer_id: str, lines: Iterable[InvoiceLine], parts: Parts) -> list[dict[str, Any]] | None:
    """Return whose the parts are, as the shares of what is taken off; None if they are the payer's alone.

    A part of a line that several used is theirs in proportion to their amounts of that line; one below zero, which
    takes something back of a credit, in proportion to what they get.
    """
    by_id = {line.id: line for line in lines}
    whole: dict[str, int] = {}
    for part in parts:
        users = parts_of(by_id[part["line"]])
        sign = 1 if part["amount_minor"] > 0 else -1
        weights = [max(0, sign * amount) for _, amount in users]
        for (customer_id, _), share in zip(users, spread_minor(abs(part["amount_minor"]), weights), strict=True):
            whole[customer_id] = whole.get(customer_id, 0) + sign * share
    if whole.keys() <= {payer_id}:
        return None
    return [{"customer": one, "quantity": "0", "amount_minor": -amount} for one, amount in whole.items() if amount]


def proof_with_shares(proof: Mapping[str, Any], shares: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return the proof with the shares, if there are any."""
    return dict(proof) if shares is None else {**proof, "shares": shares}
