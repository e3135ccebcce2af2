"""Invoices with tax at Stripe: plain lines, the same total."""

import pytest

from tests.payments.conftest import NOW
from tests.scenarios.story import Story
from tests.stripe_account import FakeStripe
from tollkeeper.payments.books import check_stripe
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.sync import sync_due_invoices
from tollkeeper.storage.session import Database

STORY = """
    tax is charged in DE{}
    tax VAT of 19 % in DE
    plan pro: 20.00 EUR per month
    customer acme in EUR
    acme is in {}
    2026-01-01 acme subscribes to pro
    2026-01-01 close period
"""


@pytest.mark.parametrize(
    ("inside", "place", "amounts"),
    [("", "DE", [2000, 380]), (" inside of prices", "DE", [2000, 0]), ("", "FR with VAT id FR12345678901", [2000, 0])],
)
def test_tax_reaches_stripe_as_a_plain_line(
    database: Database, fake: FakeStripe, account: StripeAccount, inside: str, place: str, amounts: list[int]
) -> None:
    Story(database, STORY.format(inside, place))
    assert sync_due_invoices(database, account, now=NOW).done == 1
    [found] = fake.invoices.values()
    assert [line["amount"] for line in found["lines"]["data"]] == amounts
    assert (found["total"], found["status"]) == (sum(amounts), "open")
    assert "automatic_tax" not in found
    with database.snapshot() as session:
        assert check_stripe(session, account) == []
