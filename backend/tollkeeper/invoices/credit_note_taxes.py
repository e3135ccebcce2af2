"""What a credit note takes back at which tax rate: pure arithmetic on an invoice's lines and its earlier credit notes.

What was taxed at one rate is a room of its own (credit_note_amounts.py), so a line comes back with the tax of its own
rate. An amount for the whole invoice is spread over the rooms in proportion to what is left of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tollkeeper.invoices.credit_note_amounts import Room, split_gross, tax_on
from tollkeeper.invoices.net import net_before_credit
from tollkeeper.invoices.tables import TAX, InvoiceLine
from tollkeeper.rating.spread import spread_minor

Taxes = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RateRoom:
    """What was taxed by one tax line, with the lines that it is about; None: the whole invoice."""

    tax_line: InvoiceLine | None
    line_ids: frozenset[str]
    room: Room


def rooms_by_rate(lines: Sequence[InvoiceLine], earlier: Iterable[Taxes]) -> list[RateRoom]:
    """Return what is left of an invoice at each rate, after the taxes of earlier credit notes.

    Without tax it is one room; so it is where credits on the invoice exceed what is charged at one of the rates.
    Tax that is inside of the prices is on a line of no amount; its proof says how much it is.
    """
    net = net_before_credit(lines)
    sums = []
    for tax_line in (line for line in lines if line.kind == TAX):
        ids, tax = frozenset(tax_line.proof["lines"]), int(tax_line.proof["tax_minor"])
        inside = tax if tax_line.proof["is_inclusive"] else 0
        sums.append((tax_line, ids, sum(net[line_id] for line_id in ids) - inside, tax))
    if not sums or any(amount < 0 or tax < 0 for _, _, amount, tax in sums):
        whole = sum(net.values()) - sum(one.proof["tax_minor"] for one, *_ in sums if one.proof["is_inclusive"])
        rooms = [RateRoom(None, frozenset(net), Room(whole, sum(tax for *_, tax in sums)))]
    else:
        rooms = [RateRoom(tax_line, ids, Room(amount, tax)) for tax_line, ids, amount, tax in sums]
    for taxes in earlier:
        rooms = [_after(one, taxes) for one in rooms]
    return rooms


def _after(one: RateRoom, taxes: Taxes) -> RateRoom:
    room = one.room
    for taken in taxes:
        if taken["line"] == (one.tax_line and one.tax_line.id):
            room = room.after(taken["net_minor"], taken["tax_minor"])
    return RateRoom(one.tax_line, one.line_ids, room)


def take_lines(rooms: Sequence[RateRoom], amounts: Mapping[str, int]) -> Taxes:
    """Return net and tax of what is taken back of lines, by id; raises ValueError for more than a rate has left."""
    taxes = []
    for one in rooms:
        net = sum(amount for line_id, amount in amounts.items() if line_id in one.line_ids)
        taxes.append(_taken(one, net, tax_on(one.room, net)))
    return [taken for taken in taxes if taken["net_minor"]]


def take_amount(rooms: Sequence[RateRoom], gross: int) -> Taxes:
    """Return net and tax of an amount with tax in it; raises ValueError for more than the invoice has left."""
    if gross > sum(one.room.left for one in rooms):
        raise ValueError("more than the invoice has left")
    parts = spread_minor(gross, [one.room.left for one in rooms])
    return [_taken(one, *split_gross(one.room, part)) for one, part in zip(rooms, parts, strict=True) if part]


def _taken(one: RateRoom, net: int, tax: int) -> dict[str, Any]:
    terms = {} if one.tax_line is None else one.tax_line.proof
    return {
        "line": one.tax_line and one.tax_line.id,
        **{name: terms.get(name) for name in ("treatment", "name", "percentage")},
        "net_minor": net,
        "tax_minor": tax,
    }
