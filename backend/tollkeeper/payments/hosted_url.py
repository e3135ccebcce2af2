"""Read the address of Stripe's own page of an invoice again before showing it: addresses expire."""

from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.find import read_invoice
from tollkeeper.payments.outbox import StripeRefused


def read_hosted_url(account: StripeAccount, invoice: Invoice) -> str | None:
    """Return the present address, or None if Stripe has none or cannot be asked; never an old one."""
    if invoice.stripe_id is None or invoice.stripe_is_stand_in != account.is_stand_in:
        return None
    try:
        found = read_invoice(account, invoice.stripe_id)
    except StripeRefused:
        return None
    url = getattr(found, "hosted_invoice_url", None)
    return str(url) if url else None
