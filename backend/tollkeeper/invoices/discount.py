"""Coupons on invoices: a negative line each, whose proof has the terms and what was taken off which line.

Before them come the lines that take earlier coupons back with a credit (coupon_returns.py).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.coupons.tables import Coupon, CouponRedemption, CouponUse
from tollkeeper.coupons.uses import held_coupons, note_use
from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.coupon_returns import coupon_returns
from tollkeeper.invoices.net import Parts, charges_of, net_of_lines, parts_by_line, proof_with_shares, shares_of_parts
from tollkeeper.invoices.tables import COUPON, COUPON_RETURN, Invoice, InvoiceLine, InvoiceStatus
from tollkeeper.rating.coupons import FixedCoupon, PercentageCoupon, coupon_parts


def foresee_coupons(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Return the lines of the coupons that would count if the bill were issued now."""
    return _coupon_lines(session, bill, is_locked=False)


def take_coupons(session: Session, bill: Bill) -> list[InvoiceLine]:
    """Use the family's coupons for a bill that is being issued, each once, and return the lines for them."""
    lines = _coupon_lines(session, bill, is_locked=True)
    for line in lines:
        if line.kind == COUPON:
            note_use(session, line.proof["redemption"], bill.invoice.id, -line.amount_minor, now=bill.now)
    return lines


def _coupon_lines(session: Session, bill: Bill, *, is_locked: bool) -> list[InvoiceLine]:
    whose = {bill.payer.id, *(line.customer_id for line in bill.lines)}
    held = held_coupons(session, whose, bill.invoice.currency, at=bill.now, is_locked=is_locked)
    lines = coupon_returns(session, bill)
    for redemption, coupon in held:
        terms = terms_of(redemption, coupon, bill.payer.id)
        before = [*bill.lines, *lines]
        parts = coupon_parts_of(terms, before)
        if parts:
            proof = proof_with_shares({**terms, "parts": parts}, shares_of_parts(bill.payer.id, before, parts))
            amount = sum(part["amount_minor"] for part in parts)
            lines.append(bill.line(COUPON, _describe(coupon), -amount, proof))
    return lines


def terms_of(redemption: CouponRedemption, coupon: Coupon, payer_id: str) -> dict[str, Any]:
    """Return a coupon's terms as a line's proof keeps them; what the payer redeemed is for the whole family."""
    is_for_all = redemption.customer_id == payer_id and redemption.subscription_id is None
    return {
        "coupon": coupon.id,
        "redemption": redemption.id,
        "code": coupon.code,
        "percentage": None if coupon.percentage is None else format(coupon.percentage.normalize(), "f"),
        "coupon_amount_minor": coupon.amount_minor,
        "features": coupon.features,
        "customer": None if is_for_all else redemption.customer_id,
        "subscription": redemption.subscription_id,
    }


def coupon_parts_of(terms: Mapping[str, Any], lines: Sequence[InvoiceLine]) -> Parts:
    """Return what a coupon takes off which of the lines, after those that came before it.

    A credit that has its part of an earlier coupon beside it gives back what was paid, whatever coupons there are now.
    """
    net = net_of_lines(lines)
    settled = {part["line"] for line in lines if line.kind == COUPON_RETURN for part in line.proof["parts"]}
    covered = [line for line in charges_of(lines) if line.id not in settled and _covers(terms, line)]
    coupon = (
        FixedCoupon(terms["coupon_amount_minor"])
        if terms["percentage"] is None
        else PercentageCoupon(Decimal(terms["percentage"]))
    )
    return parts_by_line(covered, coupon_parts([net[line.id] for line in covered], coupon, sum(net.values())))


def _covers(terms: Mapping[str, Any], line: InvoiceLine) -> bool:
    if terms["subscription"] is not None and line.subscription_id != terms["subscription"]:
        return False
    if terms["customer"] is not None and line.customer_id != terms["customer"]:
        return False
    return not terms["features"] or line.proof["feature"] in terms["features"]


def _describe(coupon: Coupon) -> str:
    off = "" if coupon.percentage is None else f", {format(coupon.percentage.normalize(), 'f')} %"
    return f"Coupon {coupon.code}: {coupon.name}{off}"


def check_coupons(
    session: Session, invoice: Invoice, lines: Sequence[InvoiceLine]
) -> Iterator[tuple[InvoiceLine, str]]:
    """Yield each coupon line with what is wrong with it by the coupon's terms, or an empty text."""
    for place, line in enumerate(lines):
        if line.kind == COUPON:
            redemption = session.get(CouponRedemption, line.proof["redemption"])
            yield line, _problem(session, redemption, invoice, line, lines[:place])


def _problem(
    session: Session,
    redemption: CouponRedemption | None,
    invoice: Invoice,
    line: InvoiceLine,
    before: Sequence[InvoiceLine],
) -> str:
    if redemption is None:
        return "nobody redeemed such a coupon"
    terms = terms_of(redemption, session.get_one(Coupon, redemption.coupon_id), invoice.customer_id)
    parts = coupon_parts_of(terms, before)
    shares = shares_of_parts(invoice.customer_id, before, parts)
    if line.proof != proof_with_shares({**terms, "parts": parts}, shares):
        return "the coupon's terms give other parts of other lines"
    off = sum(part["amount_minor"] for part in parts)
    return "" if line.amount_minor == -off else f"the coupon takes off {off}"


def coupons_are_noted(session: Session) -> Iterator[str]:
    """Yield each invoice whose coupon lines are not what is noted as used on it."""
    shown: dict[str, int] = defaultdict(int)
    for invoice_id, amount in session.execute(
        select(InvoiceLine.invoice_id, InvoiceLine.amount_minor).where(InvoiceLine.kind == COUPON)
    ):
        shown[invoice_id] -= amount
    noted: dict[str, int] = defaultdict(int)
    for invoice_id, amount in session.execute(select(CouponUse.invoice_id, CouponUse.amount_minor)):
        noted[invoice_id] += amount
    for invoice_id in sorted(shown.keys() | noted.keys()):
        if shown[invoice_id] != noted[invoice_id]:
            yield f"{invoice_id}: coupons of {shown[invoice_id]} on its lines, {noted[invoice_id]} noted"


def none_is_below_zero(session: Session) -> Iterator[str]:
    """Yield each issued invoice that comes to less than nothing."""
    for name, total in session.execute(
        select(Invoice.number, Invoice.total_minor).where(
            Invoice.total_minor < 0, Invoice.status != InvoiceStatus.DRAFT
        )
    ):
        yield f"{name}: comes to {total}, less than nothing"
