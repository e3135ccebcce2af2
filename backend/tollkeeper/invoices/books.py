"""The books check themselves: every invariant of billing is a query that finds nothing."""

from collections.abc import Callable, Iterator
from decimal import Decimal

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from tollkeeper.coupons.books import COUPON_CHECKS
from tollkeeper.credits.books import CREDIT_CHECKS
from tollkeeper.customers.attribute import attributions_are_derived
from tollkeeper.invoices.accounts import are_interim, billed_rows
from tollkeeper.invoices.books_of_credit_notes import NOTE_CHECKS
from tollkeeper.invoices.books_of_payments import PAYMENT_CHECKS
from tollkeeper.invoices.charges import name_of
from tollkeeper.invoices.coupon_returns import no_more_is_returned_than_was_taken
from tollkeeper.invoices.discount import coupons_are_noted, none_is_below_zero
from tollkeeper.invoices.immutable import content_digest
from tollkeeper.invoices.prepaid import lines_are_in_the_ledger
from tollkeeper.invoices.reading import list_lines, parts_of
from tollkeeper.invoices.tables import (
    BilledPeriod,
    ChargeKind,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LegalEntity,
)
from tollkeeper.invoices.taxing import taxes_are_right
from tollkeeper.invoices.top_up_grant import top_ups_are_granted_when_paid
from tollkeeper.subscriptions.billing_periods import billing_periods, next_due
from tollkeeper.subscriptions.periods import MICROSECOND
from tollkeeper.subscriptions.tables import Subscription
from tollkeeper.subscriptions.timeline import load_timelines

PAGE = 500


def check_books(session: Session) -> list[str]:
    """Return what is wrong with the books, in words; nothing, if every invariant holds."""
    return [problem for check in CHECKS for problem in check(session)]


def _lines_add_up(session: Session) -> Iterator[str]:
    total = func.coalesce(func.sum(InvoiceLine.amount_minor), 0)
    rows = session.execute(
        select(Invoice.id, Invoice.number, Invoice.total_minor, total)
        .outerjoin(InvoiceLine, InvoiceLine.invoice_id == Invoice.id)
        .group_by(Invoice.id, Invoice.number, Invoice.total_minor)
        .having(total != Invoice.total_minor)
    )
    for invoice_id, number, said, added in rows:
        yield f"{number or invoice_id}: the lines add up to {added}, the total says {said}"


def _shares_add_up(session: Session) -> Iterator[str]:
    for line in session.scalars(select(InvoiceLine).execution_options(yield_per=PAGE)):
        shared = sum(amount for _, amount in parts_of(line))
        if shared != line.amount_minor:
            yield f"line {line.id}: its shares add up to {shared}, it says {line.amount_minor}"


def _numbers_have_no_gap(session: Session) -> Iterator[str]:
    rows = session.execute(
        select(
            LegalEntity.key,
            LegalEntity.last_number,
            func.count(Invoice.sequence_number),
            func.coalesce(func.max(Invoice.sequence_number), 0),
        )
        .outerjoin(Invoice, Invoice.legal_entity == LegalEntity.key)
        .group_by(LegalEntity.key, LegalEntity.last_number)
    )
    for key, last, count, highest in rows:
        if not last == count == highest:
            yield f"legal entity {key}: {last} numbers were given out, {count} invoices have one, up to {highest}"


def _no_time_is_charged_twice(session: Session) -> Iterator[str]:
    one, other = aliased(BilledPeriod), aliased(BilledPeriod)
    rows = session.execute(
        select(one.subscription_id, one.rate_card_key, one.period_start, other.period_start)
        .join(
            other,
            and_(
                other.subscription_id == one.subscription_id,
                other.rate_card_key == one.rate_card_key,
                other.id != one.id,
                other.period_start >= one.period_start,
                other.period_start < one.period_end,
                or_(other.period_start > one.period_start, other.id > one.id),
            ),
        )
        .where(_is_latest(one), _is_latest(other), ~_is_given_back(one), ~_is_given_back(other))
    )
    for subscription_id, card, first, second in rows:
        yield f"{subscription_id}, {card}: the periods from {first} and from {second} overlap"


def _is_latest(row: type[BilledPeriod]) -> ColumnElement[bool]:
    later = aliased(BilledPeriod)
    return ~(
        select(later.id)
        .where(
            later.subscription_id == row.subscription_id,
            later.term_id == row.term_id,
            later.phase_key == row.phase_key,
            later.rate_card_key == row.rate_card_key,
            later.period_start == row.period_start,
            later.revision > row.revision,
        )
        .exists()
    )


def _is_given_back(row: type[BilledPeriod]) -> ColumnElement[bool]:
    return and_(row.kind == ChargeKind.CREDIT, row.event_count == 0, row.quantity == Decimal(0))


def _rows_are_on_their_invoice(session: Session) -> Iterator[str]:
    on_lines = func.coalesce(func.sum(InvoiceLine.amount_minor), 0)
    rows = session.execute(
        select(BilledPeriod.id, BilledPeriod.amount_minor, on_lines)
        .outerjoin(
            InvoiceLine,
            and_(InvoiceLine.billed_period_id == BilledPeriod.id, InvoiceLine.invoice_id == BilledPeriod.invoice_id),
        )
        .where(BilledPeriod.invoice_id.is_not(None))
        .group_by(BilledPeriod.id, BilledPeriod.amount_minor)
        .having(on_lines != BilledPeriod.amount_minor)
    )
    for row_id, amount, added in rows:
        yield f"charge {row_id}: {amount} was billed, its invoice has lines of {added}"


def _lines_belong_to_rows(session: Session) -> Iterator[str]:
    rows = session.execute(
        select(InvoiceLine.id)
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .join(BilledPeriod, BilledPeriod.id == InvoiceLine.billed_period_id)
        .where(
            Invoice.status != InvoiceStatus.VOID,
            or_(BilledPeriod.invoice_id.is_(None), BilledPeriod.invoice_id != Invoice.id),
        )
    )
    for (line_id,) in rows:
        yield f"line {line_id}: its charge is on another invoice"


def _issued_are_unchanged(session: Session) -> Iterator[str]:
    after = ""
    while True:
        page = session.scalars(
            select(Invoice)
            .where(Invoice.status != InvoiceStatus.DRAFT, Invoice.id > after)
            .order_by(Invoice.id)
            .limit(PAGE)
        ).all()
        if not page:
            return
        for invoice in page:
            if content_digest(invoice, list_lines(session, invoice.id)) != invoice.content_digest:
                yield f"{invoice.number}: is not what was issued, its digest differs"
        after = page[-1].id


def _no_due_charge_is_missing(session: Session) -> Iterator[str]:
    for subscription in session.scalars(select(Subscription).where(Subscription.billed_until.is_not(None))):
        until = subscription.billed_until
        assert until is not None
        billed = billed_rows(session, subscription.id)
        for period in billing_periods(session, subscription, until=until + MICROSECOND):
            if period.due_at <= until and are_interim(billed.get(name_of(period), ())):
                yield f"{subscription.id}, {period.rate_card.key}: the period from {period.start} was not billed"


def _every_subscription_is_due_when_it_should(session: Session) -> Iterator[str]:
    rows = session.scalars(select(Subscription).order_by(Subscription.id)).all()
    for timeline in load_timelines(session, rows):
        one = timeline.subscription
        due = next_due(timeline, after=one.billed_until)
        if due != one.next_due_at:
            yield f"{one.id}: its next charge is due at {due}, the billing run will look at {one.next_due_at}"


CHECKS: tuple[Callable[[Session], Iterator[str]], ...] = (
    _lines_add_up,
    _shares_add_up,
    _numbers_have_no_gap,
    _no_time_is_charged_twice,
    _rows_are_on_their_invoice,
    _lines_belong_to_rows,
    _issued_are_unchanged,
    _no_due_charge_is_missing,
    _every_subscription_is_due_when_it_should,
    attributions_are_derived,
    lines_are_in_the_ledger,
    *PAYMENT_CHECKS,
    *NOTE_CHECKS,
    coupons_are_noted,
    none_is_below_zero,
    no_more_is_returned_than_was_taken,
    taxes_are_right,
    top_ups_are_granted_when_paid,
    *COUPON_CHECKS,
    *CREDIT_CHECKS,
)
