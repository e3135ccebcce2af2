"""Issue a draft: give it its number and a digest, after which nothing in it changes any more."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict
from tollkeeper.invoices.announce import announce
from tollkeeper.invoices.bill import Bill
from tollkeeper.invoices.immutable import content_digest
from tollkeeper.invoices.legal_entities import describe_buyer, describe_seller, read_terms
from tollkeeper.invoices.mail import queue_issued
from tollkeeper.invoices.numbers import take_numbers
from tollkeeper.invoices.pay import settle
from tollkeeper.invoices.payment_tables import InvoiceActKind
from tollkeeper.invoices.reading import get_invoice, list_lines, parts_of
from tollkeeper.invoices.states import Deed, move
from tollkeeper.invoices.steps import take_steps
from tollkeeper.invoices.tables import Invoice, InvoiceStatus


def finalize_invoice(session: Session, invoice_id: str, *, by: str = "system", now: datetime) -> Invoice:
    """Issue the draft; a repeat returns the issued invoice unchanged.

    The steps after the charges are taken now (steps.py): coupons, credit, tax. An invoice that comes to nothing
    by them is paid at once. The number is the last thing taken: the sequence is locked from then until the commit.
    """
    invoice = get_invoice(session, invoice_id, is_locked=True)
    if invoice.status == InvoiceStatus.VOID:
        raise Conflict(f"invoice {invoice.number} is void")
    if invoice.status != InvoiceStatus.DRAFT:
        return invoice
    bill = Bill(invoice, session.get_one(Customer, invoice.customer_id), now, [*list_lines(session, invoice.id)])
    if bill.total_minor != invoice.total_minor:
        raise Conflict(f"the lines of draft {invoice.id} do not add up to its total; discard it and bill again")
    issue_bills(session, [bill], by=by)
    return invoice


def issue_bills(session: Session, bills: Sequence[Bill], *, by: str = "billing run") -> None:
    """Issue drafts that are locked, or that this transaction made; their numbers are in the order given."""
    terms = read_terms(session, [bill.payer.id for bill in bills])
    for bill in bills:
        take_steps(session, bill)
        invoice = bill.invoice
        if invoice.total_minor < 0:
            # its credits came to more since it was drafted: what took part of them back was voided
            raise Conflict(f"draft {invoice.id} comes to less than nothing; discard it, its charges wait for the next")
        invoice.buyer = {**describe_buyer(bill.payer), **_members(session, bill)}
        invoice.seller = describe_seller(terms.entities[invoice.legal_entity])
        invoice.issued_at = bill.now
        invoice.due_at = terms.due_at(bill.payer.id, invoice.legal_entity, issued_at=bill.now)
    for legal_entity in sorted({bill.invoice.legal_entity for bill in bills}):
        own = [bill for bill in bills if bill.invoice.legal_entity == legal_entity]
        for bill, number in zip(own, take_numbers(session, legal_entity, len(own)), strict=True):
            bill.invoice.number = number.text
            bill.invoice.sequence_number = number.sequence
            bill.invoice.content_digest = content_digest(bill.invoice, bill.lines)
            move(session, bill.invoice, InvoiceStatus.ISSUED, Deed(InvoiceActKind.ISSUED, by, bill.now))
    session.flush()
    queue_issued(session, [one.invoice for one in bills if terms.sends_to(one.payer, one.invoice.legal_entity)], by=by)
    for bill in bills:
        announce(session, bill.invoice, "issued", now=bill.now)
        if bill.invoice.total_minor == 0:
            # credit has paid all of it
            settle(session, bill.invoice, Deed(InvoiceActKind.SETTLED, by, bill.now))


def _members(session: Session, bill: Bill) -> dict[str, dict[str, str]]:
    """Return the names of the others whose usage is on the invoice, as they are now, if there are any."""
    ids = {one for line in bill.lines for one in (line.customer_id, *dict(parts_of(line)))} - {bill.payer.id}
    if not ids:
        return {}
    names = session.execute(select(Customer.id, Customer.name).where(Customer.id.in_(ids)).order_by(Customer.id))
    return {"members": {one.id: one.name for one in names}}
