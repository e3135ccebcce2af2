"""The order in which an invoice is calculated, and the one place of each step (docs/money.md has the rules).

For each rate card and period (rating/rate.py, by settle.py, kept in the charge's proof):

    unit conversion -> usage discount -> price -> percentage discount -> maximum -> minimum

Then once for the invoice, on the lines of its charges (draft.py), in the order of STEPS:

    coupons -> credit before tax -> tax -> credit after tax

The total is the sum of all lines. A step adds lines and never changes one: what it takes off is a negative line
of a kind of its own, which belongs to no charge (`STEP_KINDS` in tables.py) and whose proof says where it came from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session

from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.discount import foresee_coupons, take_coupons
from tollkeeper.invoices.prepaid import (
    draw_after_tax,
    draw_before_tax,
    foresee_draws_after_tax,
    foresee_draws_before_tax,
)
from tollkeeper.invoices.tables import TOP_UP, InvoiceLine
from tollkeeper.invoices.taxing import tax_lines

Act = Callable[[Session, Bill], Sequence[InvoiceLine]]


class StepName(StrEnum):
    """The steps after the charges, in order."""

    COUPONS = "coupons"
    CREDIT_BEFORE_TAX = "credit_before_tax"
    TAX = "tax"
    CREDIT_AFTER_TAX = "credit_after_tax"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `foresee` returns the lines that it would add and writes nothing, `take` writes what they rest on."""

    name: StepName
    foresee: Act
    take: Act


STEPS = (
    Step(StepName.COUPONS, foresee=foresee_coupons, take=take_coupons),
    Step(StepName.CREDIT_BEFORE_TAX, foresee=foresee_draws_before_tax, take=draw_before_tax),
    Step(StepName.TAX, foresee=tax_lines, take=tax_lines),
    Step(StepName.CREDIT_AFTER_TAX, foresee=foresee_draws_after_tax, take=draw_after_tax),
)


def foresee_steps(session: Session, bill: Bill) -> None:
    """Add the lines of every step to a bill that is only looked at."""
    for step in STEPS:
        _add(bill, step.foresee(session, bill))


def take_steps(session: Session, bill: Bill) -> None:
    """Take every step for a bill that is being issued, and set its total; the caller holds the invoice's lock."""
    for step in () if is_top_up(bill) else STEPS:
        added = step.take(session, bill)
        _add(bill, added)
        session.add_all(added)
    bill.invoice.total_minor = bill.total_minor


def is_top_up(bill: Bill) -> bool:
    """Tell whether a bill charges a top-up: it sells credit, so no coupon, credit or tax is on it."""
    return any(line.kind == TOP_UP for line in bill.lines)


def _add(bill: Bill, lines: Sequence[InvoiceLine]) -> None:
    for line in lines:
        bill.lines.append(line)
        line.position = len(bill.lines)
