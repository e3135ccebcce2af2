"""Say an invoice and its lines as a story's expected values do."""

from sqlalchemy.orm import Session

from tollkeeper.catalog.tables import Plan, PlanVersion
from tollkeeper.customers.tables import Customer
from tollkeeper.invoices.reading import LineShare, members_on, shares_of
from tollkeeper.invoices.tables import STEP_KINDS, Invoice, InvoiceLine
from tollkeeper.money import format_minor


def describe_invoice(session: Session, invoice: Invoice) -> str:
    """`INV-000001 acme 20.00 EUR`."""
    key = session.get_one(Customer, invoice.customer_id).key
    return f"{invoice.number} {key} {format_minor(invoice.total_minor, invoice.currency)} {invoice.currency}"


def describe_line(session: Session, invoice: Invoice, line: InvoiceLine) -> str:
    """`pro 20.00 EUR`, `50 calls 5.00 EUR`."""
    if line.kind in STEP_KINDS:
        told = f"{line.description} {format_minor(line.amount_minor, invoice.currency)} {invoice.currency}"
        return told + _describe_shares(session, invoice, line)
    plan = session.get_one(Plan, session.get_one(PlanVersion, line.plan_version_id).plan_id).key
    card = (line.rate_card_key or "").rpartition("/")[2]  # an add-on's begins with its own key, which `plan` is
    quantity = format(line.quantity.normalize(), "f")
    what = {
        "flat": plan if card == "fee" else f"{plan} {card}",
        "usage": f"{quantity} {card}",
        "credit": f"credit {card}",
        "adjustment": f"late {quantity} {card}",
    }.get(line.kind, f"{card} {line.kind}")
    user = session.get_one(Customer, line.customer_id)
    who = "" if user.id == invoice.customer_id else f"{user.key}: "
    amount = format_minor(line.amount_minor, invoice.currency)
    return f"{who}{what} {amount} {invoice.currency}{_describe_shares(session, invoice, line)}"


def _describe_shares(session: Session, invoice: Invoice, line: InvoiceLine) -> str:
    shares = [
        f"{share.customer.key}{used(line, share)}: {format_minor(share.amount_minor, invoice.currency)}"
        for share in shares_of(line, members_on(session, [line]))
    ]
    return f" ({', '.join(shares)})" if shares else ""


def used(line: InvoiceLine, share: LineShare) -> str:
    """What a customer used of a charge; a coupon is not used up by anyone."""
    return "" if line.kind in STEP_KINDS else f" {share.quantity:f}"
