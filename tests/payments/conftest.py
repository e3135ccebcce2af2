"""Invoices to be brought to a fake Stripe."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import stripe

from tests.fakes import API_KEY, fake_stripe
from tests.scenarios.story import Story
from tests.stripe_account import FakeStripe
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.client import StripeAccount, open_stripe
from tollkeeper.payments.tables import StripeSync
from tollkeeper.storage.session import Database

NOW = datetime(2026, 2, 1, 1, tzinfo=UTC)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStripe]:
    """A fake account; the SDK does not sleep before its own retries."""
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.001)
    monkeypatch.setattr(stripe.HTTPClient, "MAX_DELAY", 0.001)
    with fake_stripe() as account:
        yield account


@pytest.fixture
def account(fake: FakeStripe) -> StripeAccount:
    """Our client of the fake account."""
    return open_stripe(API_KEY, fake.url, requests_per_second=1000)


@pytest.fixture
def told(database: Database) -> Story:
    """A story in which INV-000001 was issued."""
    text = """
        plan pro: 20.00 EUR per month in arrears, 1000 requests included, then 0.01 EUR each
        2026-01-01 acme subscribes to pro
        2026-01-10 acme uses 1200 requests
        2026-02-01 close period
    """
    story = Story(database, text)
    assert story.lines == ["pro 20.00 EUR", "200 requests 2.00 EUR"]
    return story


@pytest.fixture
def issued(database: Database, told: Story) -> Invoice:
    """An issued invoice of 22.00 EUR in two lines, one more line of no amount, for 2026-01."""
    with database.snapshot() as session:
        return get_invoice(session, "INV-000001")


@pytest.fixture
def invoice(database: Database, issued: Invoice) -> Callable[[], Invoice]:
    """The issued invoice as it is now."""

    def read() -> Invoice:
        with database.snapshot() as session:
            return get_invoice(session, issued.id)

    return read


@pytest.fixture
def sync_row(database: Database, issued: Invoice) -> Callable[[], StripeSync]:
    """The sync of the issued invoice as it is now."""

    def read() -> StripeSync:
        with database.snapshot() as session:
            return session.get_one(StripeSync, issued.id)

    return read
