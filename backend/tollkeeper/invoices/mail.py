"""Bring issued invoices to their buyers by e-mail: rows that a job claims, no transaction while a server is asked.

A mail is sent at least once and never again after its success is stored. If the process dies between the server's
word and ours, it is sent again under the same Message-ID, by which mail programs know a repeat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import structlog
from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict
from tollkeeper.invoices.mail_tables import InvoiceMail
from tollkeeper.invoices.paper import readable
from tollkeeper.invoices.pdf import invoice_pdf, write_day
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.states import MAY_BE_PAID, amount_due
from tollkeeper.invoices.tables import Invoice, InvoiceStatus
from tollkeeper.money import write_money
from tollkeeper.notifications.deliver import WAITS
from tollkeeper.notifications.smtp import MailOutcome, MailServer, hand_in
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.session import Database
from tollkeeper.storage.upsert import insert_ignoring

log = structlog.get_logger()

# Longer than an attempt can take: a claim that nobody answered for is free again after it.
LEASE = timedelta(minutes=10)
MOST_SENT = 50
NO_ADDRESS = "the customer has no e-mail address"
IS_VOID = "the invoice is void"


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt at one mail; its number tells it from a later one, whose word counts."""

    mail_id: str
    invoice_id: str
    attempt: int


def queue_issued(session: Session, invoices: Sequence[Invoice], *, by: str) -> None:
    """Remember to send invoices, each once, in the transaction that issues them."""
    rows = [_row(one.id, f"issued:{one.id}", by=by, now=one.issued_at) for one in invoices if one.issued_at]
    insert_ignoring(session, InvoiceMail, rows)


def ask_for_mail(session: Session, id_or_number: str, key: str | None = None, *, by: str, now: datetime) -> None:
    """Remember to send an issued invoice, also once more; under a key once. Raises NotFound, Conflict."""
    invoice = get_invoice(session, id_or_number)
    if invoice.number is None or invoice.status == InvoiceStatus.VOID:
        raise Conflict(f"invoice {invoice.number or invoice.id} is {invoice.status}; only an issued one is sent")
    if session.get_one(Customer, invoice.customer_id).email is None:
        raise Conflict("the customer has no e-mail address; set one first")
    row = _row(invoice.id, f"asked:{invoice.id}:{key or new_id('key')}", by=by, now=now)
    insert_ignoring(session, InvoiceMail, [row])


def list_mails(session: Session, invoice_id: str) -> Sequence[InvoiceMail]:
    """Return the e-mails of an invoice, oldest first."""
    return session.scalars(
        select(InvoiceMail).where(InvoiceMail.invoice_id == invoice_id).order_by(InvoiceMail.id)
    ).all()


def send_due(database: Database, server: MailServer, *, now: datetime) -> int:
    """Send what is due, one after another; return how many were sent. Any number of processes may run it.

    A server that cannot be asked ends the run: the others would wait for the same.
    """
    sent = 0
    for _ in range(MOST_SENT):
        with database.snapshot() as session:
            is_idle = session.scalars(_due(now)).first() is None
        if is_idle:
            break
        with database.transaction() as session:
            claim = claim_mail(session, now=now)
        if claim is None:
            break
        with database.snapshot() as session:
            message = compose(session, claim, server.sender, now=now)
        outcome = hand_in(server, message) if isinstance(message, EmailMessage) else message
        with database.transaction() as session:
            note_outcome(session, claim, outcome, now=now)
        sent += outcome.error is None
        if outcome.is_server_away:
            break
    return sent


def claim_mail(session: Session, *, now: datetime) -> Claim | None:
    """Claim the mail that is due first, for LEASE; None if there is none."""
    mail = session.scalars(_due(now).with_for_update(skip_locked=True)).first()
    if mail is None:
        return None
    mail.attempts += 1
    mail.next_attempt_at = now + LEASE
    return Claim(mail.id, mail.invoice_id, mail.attempts)


def compose(session: Session, claim: Claim, sender: str, *, now: datetime) -> EmailMessage | MailOutcome:
    """Write the message with the PDF, or say why there is none to be sent."""
    invoice = get_invoice(session, claim.invoice_id)
    address = session.get_one(Customer, invoice.customer_id).email
    if invoice.status == InvoiceStatus.VOID:
        return MailOutcome(IS_VOID, is_final=True)
    if address is None:
        return MailOutcome(NO_ADDRESS, is_final=True)
    seller = readable(str(invoice.seller["name"]))
    message = EmailMessage()
    try:
        message["From"] = Address(seller, addr_spec=sender)
        message["To"] = Address(readable(str(invoice.buyer["name"])), addr_spec=address)
    except ValueError:
        return MailOutcome("the customer's e-mail address is not one that can be written to", is_final=True)
    if invoice.seller["email"]:
        message["Reply-To"] = invoice.seller["email"]
    message["Subject"] = f"Invoice {invoice.number} from {seller}"
    message["Message-ID"] = f"<{claim.mail_id}@{sender.rpartition('@')[2]}>"
    message["Date"] = format_datetime(now)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(invoice, seller))
    pdf = invoice_pdf(session, invoice.id)
    message.add_attachment(pdf.content, maintype="application", subtype="pdf", filename=pdf.name)
    return message


def note_outcome(session: Session, claim: Claim, outcome: MailOutcome, *, now: datetime) -> None:
    """Write down what became of an attempt; one whose lease ran out meanwhile is another's to write."""
    values: dict[str, object] = {"last_error": outcome.error}
    if outcome.error is None:
        values |= {"sent_at": now, "next_attempt_at": None}
    elif outcome.is_final or claim.attempt > len(WAITS):
        values |= {"given_up_at": now, "next_attempt_at": None}
        log.warning("invoice_mail_given_up", mail=claim.mail_id, reason=outcome.error)
    else:
        values |= {"next_attempt_at": now + WAITS[claim.attempt - 1]}
    same = (InvoiceMail.id == claim.mail_id, InvoiceMail.attempts == claim.attempt)
    session.execute(update(InvoiceMail).where(*same).values(**values))


def _due(now: datetime) -> Select[InvoiceMail]:
    return (
        select(InvoiceMail)
        .where(
            InvoiceMail.next_attempt_at.is_not(None),
            or_(InvoiceMail.attempts == 0, InvoiceMail.next_attempt_at <= now),
        )
        .order_by(InvoiceMail.next_attempt_at, InvoiceMail.id)
        .limit(1)
    )


def _row(invoice_id: str, key: str, *, by: str, now: datetime) -> dict[str, object]:
    return {
        "id": new_id("mail"),
        "key": key,
        "invoice_id": invoice_id,
        "asked_at": now,
        "asked_by": by,
        "attempts": 0,
        "next_attempt_at": now,
    }


def _text(invoice: Invoice, seller: str) -> str:
    due = amount_due(invoice) if invoice.status in MAY_BE_PAID else 0
    lines = [
        f"Invoice {invoice.number} from {seller}",
        "",
        f"Total: {write_money(invoice.total_minor, invoice.currency)}",
        f"Due: {write_money(due, invoice.currency)}",
    ]
    if due and invoice.due_at is not None:
        lines[-1] += f" by {write_day(invoice.due_at, invoice.buyer['time_zone'])}"
    if due and invoice.hosted_invoice_url and not invoice.stripe_is_stand_in:
        lines.append(f"Pay online: {invoice.hosted_invoice_url}")
    return "\n".join([*lines, "", "The invoice is attached as PDF.", ""])
