"""Look for our objects at Stripe by our ids in their metadata: by list, never by search, which lags behind."""

from collections.abc import Iterator
from typing import Any

import stripe

from tollkeeper.payments.answers import read_refusal
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.outbox import StripeRefused

PAGE = 100


def read_invoice(account: StripeAccount, stripe_id: str) -> Any:
    """Return the invoice as Stripe has it now; raises StripeRefused."""
    if not stripe_id:
        raise ValueError("an empty id would ask for the list")
    try:
        return account.client.v1.invoices.retrieve(stripe_id)
    except stripe.StripeError as error:
        raise StripeRefused("retrieve_invoice", read_refusal(error)) from None


def read_lines(account: StripeAccount, stripe_id: str) -> list[Any]:
    """Return all lines of an invoice at Stripe; raises stripe.StripeError."""
    services: Any = account.client.v1.invoices
    return list(services.line_items.list(stripe_id, {"limit": PAGE}).auto_paging_iter())


def find_invoice(account: StripeAccount, customer: str, invoice_id: str) -> str | None:
    """Return Stripe's id of our invoice, or None; raises stripe.StripeError."""
    services: Any = account.client.v1.invoices
    found = services.list({"customer": customer, "limit": PAGE}).auto_paging_iter()
    return first_with(found, "tollkeeper_invoice_id", invoice_id)


def first_with(found: Iterator[Any], key: str, value: str) -> str | None:
    """Return the id of the first object that has this value in its metadata, or None."""
    for candidate in found:
        metadata = getattr(candidate, "metadata", None)
        if metadata is not None and getattr(metadata, key, None) == value:
            return str(candidate.id)
    return None
