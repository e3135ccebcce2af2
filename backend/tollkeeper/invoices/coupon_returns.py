"""A credit gives back what was paid: the part of it that a coupon had taken off is taken back with it.

An earlier invoice charged 30.00, of which a coupon took off 12.00. If half of the charge comes back, so does half of
what the coupon took off: a line of 6.00 beside the credit of -15.00. Its parts are below zero, and so leave more of
the credit's line; its proof says what was charged, and what the coupon had taken off that, until then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tollkeeper.coupons.tables import Coupon, CouponRedemption, CouponUse
from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.net import Parts, charges_of, parts_by_line, proof_with_shares, shares_of_parts
from tollkeeper.invoices.tables import COUPON, COUPON_RETURN, BilledPeriod, Invoice, InvoiceLine, InvoiceStatus
from tollkeeper.rating.decimals import round_half_up
from tollkeeper.rating.spread import spread_minor


class _Charge(NamedTuple):
    """Which charge a line belongs to, as the document itself says it."""

    subscription_id: str | None
    plan_version_id: str | None
    rate_card_key: str | None
    start: datetime
    phase: str


@dataclass(slots=True)
class _Before:
    """What issued invoices charged for a charge, and what coupons had taken off that, by redemption."""

    charged_minor: int = 0
    taken_minor: dict[str, int] = field(default_factory=dict)


def coupon_returns(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Return the lines that take coupons back, in proportion to what the bill gives back of earlier charges."""
    lines: list[InvoiceLine] = []
    for charge, given in _credits(bill.lines):
        before = _before(session, bill.invoice.id, charge)
        done = 0
        for redemption, taken in sorted(before.taken_minor.items()):
            parts = _parts(given, before.charged_minor, taken, done_minor=done)
            if parts:
                amount = -sum(part["amount_minor"] for part in parts)
                done += amount
                proof = {
                    "redemption": redemption,
                    "charged_minor": before.charged_minor,
                    "taken_minor": taken,
                    "parts": parts,
                }
                proof = proof_with_shares(proof, shares_of_parts(bill.payer.id, bill.lines, parts))
                lines.append(bill.line(COUPON_RETURN, _describe(session, redemption, given), amount, proof))
    return lines


def _credits(lines: Sequence[InvoiceLine]) -> Iterator[tuple[_Charge, list[InvoiceLine]]]:
    """Yield each charge of which something is given back, with its lines."""
    by_charge: dict[_Charge, list[InvoiceLine]] = {}
    for line in charges_of(lines):
        by_charge.setdefault(_charge_of(line), []).append(line)
    for charge, its_lines in by_charge.items():
        if sum(line.amount_minor for line in its_lines) < 0:
            yield charge, its_lines


def _charge_of(line: InvoiceLine) -> _Charge:
    return _Charge(
        line.subscription_id, line.plan_version_id, line.rate_card_key, line.period_start, line.proof["phase"]
    )


def _before(session: Session, invoice_id: str, charge: _Charge) -> _Before:
    """Read what the other issued invoices charged; void ones charged nothing."""
    earlier = session.scalars(
        select(InvoiceLine)
        .join(BilledPeriod, BilledPeriod.id == InvoiceLine.billed_period_id)
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(
            BilledPeriod.subscription_id == charge.subscription_id,
            BilledPeriod.plan_version_id == charge.plan_version_id,
            BilledPeriod.phase_key == charge.phase,
            BilledPeriod.rate_card_key == charge.rate_card_key,
            BilledPeriod.period_start == charge.start,
            Invoice.id != invoice_id,
            Invoice.status.not_in([InvoiceStatus.DRAFT, InvoiceStatus.VOID]),
        )
    ).all()
    before = _Before(sum(line.amount_minor for line in earlier))
    ids = {line.id for line in earlier}
    for line in session.scalars(
        select(InvoiceLine).where(
            InvoiceLine.invoice_id.in_({line.invoice_id for line in earlier}),
            InvoiceLine.kind.in_([COUPON, COUPON_RETURN]),
        )
    ):
        taken = sum(part["amount_minor"] for part in line.proof["parts"] if part["line"] in ids)
        redemption = line.proof["redemption"]
        before.taken_minor[redemption] = before.taken_minor.get(redemption, 0) + taken
    return before


def _parts(given: Sequence[InvoiceLine], charged_minor: int, taken_minor: int, *, done_minor: int) -> Parts:
    """Return what is taken back of which credit, below zero: never more than the credit that other coupons left."""
    credit_minor = -sum(line.amount_minor for line in given)
    if charged_minor <= 0 or taken_minor <= 0:
        return []
    share = Fraction(min(credit_minor, charged_minor), charged_minor)
    off_minor = min(round_half_up(taken_minor * share), credit_minor - done_minor)
    spread = spread_minor(off_minor, [max(0, -line.amount_minor) for line in given])
    return parts_by_line(given, [-part for part in spread])


def _describe(session: Session, redemption_id: str, given: Sequence[InvoiceLine]) -> str:
    redemption = session.get_one(CouponRedemption, redemption_id)
    coupon = session.get_one(Coupon, redemption.coupon_id)
    return f"Coupon {coupon.code}: its part of {given[0].description}"


def check_returns(lines: Sequence[InvoiceLine]) -> Iterator[tuple[InvoiceLine, str]]:
    """Yield each line that takes a coupon back with what is wrong with it by its proof, or an empty text."""
    by_charge = dict(_credits(lines))
    done: dict[_Charge, int] = {}
    charge_of = {line.id: _charge_of(line) for line in charges_of(lines)}
    for line in lines:
        if line.kind == COUPON_RETURN:
            charge = charge_of[line.proof["parts"][0]["line"]]
            before = line.proof["charged_minor"], line.proof["taken_minor"]
            parts = _parts(by_charge.get(charge, []), *before, done_minor=done.get(charge, 0))
            done[charge] = done.get(charge, 0) + line.amount_minor
            off = -sum(part["amount_minor"] for part in parts)
            is_right = (line.proof["parts"], line.amount_minor) == (parts, off)
            yield line, "" if is_right else f"the credit takes {off} of the coupon back"


def no_more_is_returned_than_was_taken(session: Session) -> Iterator[str]:
    """Yield each redeemed coupon of which more was taken back than it ever took off."""
    returned: dict[str, int] = {}
    query = select(InvoiceLine).join(Invoice, Invoice.id == InvoiceLine.invoice_id)
    live = Invoice.status != InvoiceStatus.VOID
    for line in session.scalars(query.where(InvoiceLine.kind == COUPON_RETURN, live)):
        redemption = line.proof["redemption"]
        returned[redemption] = returned.get(redemption, 0) + line.amount_minor
    total = func.sum(CouponUse.amount_minor)
    query_of_uses = select(CouponUse.redemption_id, total).group_by(CouponUse.redemption_id)
    taken = {redemption: int(amount) for redemption, amount in session.execute(query_of_uses)}
    for redemption, amount in returned.items():
        if amount > taken.get(redemption, 0):
            yield f"redemption {redemption}: took off {taken.get(redemption, 0)}, {amount} was taken back"
