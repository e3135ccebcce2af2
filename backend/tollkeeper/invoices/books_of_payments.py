"""What must hold between an invoice, the payments for it and the acts on it."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from tollkeeper.invoices.payment_tables import InvoiceAct, InvoicePayment
from tollkeeper.invoices.states import MAY_BECOME
from tollkeeper.invoices.tables import Invoice, InvoiceStatus

PAGE = 500


def payments_add_up(session: Session) -> Iterator[str]:
    """Yield each invoice whose paid amount is not the sum of its payments."""
    paid = func.coalesce(func.sum(InvoicePayment.amount_minor), 0)
    rows = session.execute(
        select(Invoice.number, Invoice.amount_paid_minor, paid)
        .outerjoin(InvoicePayment, InvoicePayment.invoice_id == Invoice.id)
        .group_by(Invoice.id, Invoice.number, Invoice.amount_paid_minor)
        .having(paid != Invoice.amount_paid_minor)
    )
    for number, said, added in rows:
        yield f"{number}: the payments add up to {added}, it says {said} was paid"


def states_fit_the_money(session: Session) -> Iterator[str]:
    """Yield each invoice whose state its amounts belie: paid means that nothing is due, and nothing else does."""
    due: ColumnElement[int] = Invoice.total_minor - Invoice.amount_paid_minor - Invoice.amount_credited_minor
    has_been_paid = Invoice.amount_paid_minor > 0
    rows = session.execute(
        select(Invoice.number, Invoice.status, Invoice.amount_paid_minor, due).where(
            or_(
                due < 0,
                and_(Invoice.status == InvoiceStatus.PAID, due != 0),
                and_(Invoice.status.not_in([InvoiceStatus.PAID, InvoiceStatus.DRAFT, InvoiceStatus.VOID]), due == 0),
                and_(Invoice.status == InvoiceStatus.ISSUED, has_been_paid),
                and_(Invoice.status == InvoiceStatus.PARTLY_PAID, ~has_been_paid),
                and_(Invoice.status.in_([InvoiceStatus.DRAFT, InvoiceStatus.VOID]), has_been_paid),
            )
        )
    )
    for number, status, paid, left in rows:
        yield f"{number}: is {status}, but {paid} was paid and {left} is due"


def acts_lead_to_the_state(session: Session) -> Iterator[str]:
    """Yield each issued invoice whose acts do not lead, by allowed steps, from the draft to the state it is in."""
    after = ""
    while True:
        page = session.execute(
            select(Invoice.id, Invoice.number, Invoice.status)
            .where(Invoice.status != InvoiceStatus.DRAFT, Invoice.id > after)
            .order_by(Invoice.id)
            .limit(PAGE)
        ).all()
        if not page:
            return
        acts: dict[str, list[InvoiceAct]] = {invoice_id: [] for invoice_id, _, _ in page}
        found = select(InvoiceAct).where(InvoiceAct.invoice_id.in_(acts)).order_by(InvoiceAct.position)
        for act in session.scalars(found):
            acts[act.invoice_id].append(act)
        for invoice_id, number, status in page:
            if not _leads_to(acts[invoice_id], status):
                yield f"{number}: is {status}, which is not what the acts on it come to"
        after = page[-1][0]


def _leads_to(acts: list[InvoiceAct], status: str) -> bool:
    state = InvoiceStatus.DRAFT
    for act in acts:
        to = InvoiceStatus(act.to_status)
        if act.from_status != state or (to is not state and to not in MAY_BECOME[state]):
            return False
        state = to
    return state == status


PAYMENT_CHECKS = (payments_add_up, states_fit_the_money, acts_lead_to_the_state)
