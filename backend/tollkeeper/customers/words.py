"""What a customer may be called, whichever door it comes by: the API's models and the pages both end here."""

import re
from zoneinfo import ZoneInfo

from tollkeeper.customers.tables import Customer
from tollkeeper.errors import InvalidInput
from tollkeeper.money import currency_exponent

LONGEST_KEY = 64
LONGEST_NAME = 200
LONGEST_EMAIL = 254
LONGEST_VALUE = 256
KEY_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$"
EMAIL_PATTERN = r"^[^@\s\x00]+@[^@\s\x00]+$"
# A key stands in addresses of pages, and /admin/customers/new is the form.
RESERVED_KEYS = {"new"}
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_words(customer: Customer) -> None:
    """Raise InvalidInput, naming the field, unless the customer can be addressed, printed and billed."""
    if len(customer.key) > LONGEST_KEY or not re.fullmatch(KEY_PATTERN, customer.key):
        raise InvalidInput.of(
            "/key", f"needs 1 to {LONGEST_KEY} letters, digits, dots, dashes and underscores, the first no punctuation"
        )
    if customer.key in RESERVED_KEYS:
        raise InvalidInput.of("/key", f"{customer.key!r} is taken by a page; choose another key")
    if not customer.name or len(customer.name) > LONGEST_NAME or CONTROL.search(customer.name):
        raise InvalidInput.of("/name", f"needs 1 to {LONGEST_NAME} characters in one line")
    if customer.email is not None and not _is_email(customer.email):
        raise InvalidInput.of("/email", "is no e-mail address; write it like billing@example.com")
    currency_exponent(customer.currency)
    _check_time_zone(customer.time_zone)


def _is_email(text: str) -> bool:
    return len(text) <= LONGEST_EMAIL and re.fullmatch(EMAIL_PATTERN, text) is not None


def _check_time_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):  # a PATCH may say null
        raise InvalidInput.of("/time_zone", f"{name!r} is no time zone; write it like 'Europe/Berlin'") from None
