"""Where an invoice is found at Stripe."""

from tollkeeper.invoices.tables import Invoice

DASHBOARD = "https://dashboard.stripe.com/invoices/"


def dashboard_link(invoice: Invoice) -> str | None:
    """Return the address in Stripe's dashboard; None before it is there, or when the stand-in has it.

    The dashboard knows by the account whether an invoice is of test or live mode.
    """
    if invoice.stripe_id is None or invoice.stripe_is_stand_in:
        return None
    return f"{DASHBOARD}{invoice.stripe_id}"
