"""The stand-in takes what Stripe would take, says what it is, and survives a restart."""

from collections.abc import Callable

import pytest
import stripe

from tests.payments.conftest import NOW
from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.books import check_stripe
from tollkeeper.payments.client import open_stand_in
from tollkeeper.payments.sync import sync_due_invoices
from tollkeeper.storage.session import Database

Now = Callable[[], Invoice]


def test_an_invoice_at_the_stand_in_says_so(
    database: Database, issued: Invoice, invoice: Callable[[], Invoice]
) -> None:
    account = open_stand_in(database)
    report = sync_due_invoices(database, account, now=NOW)
    assert report.done == 1
    ours = invoice()
    assert ours.stripe_is_stand_in is True
    assert ours.stripe_status == "open"
    assert (ours.stripe_id or "").startswith("in_standin_")
    with database.snapshot() as session:
        assert check_stripe(session, account) == []


def test_a_restarted_stand_in_finds_its_objects(
    database: Database, issued: Invoice, invoice: Callable[[], Invoice]
) -> None:
    sync_due_invoices(database, open_stand_in(database), now=NOW)
    found = open_stand_in(database).client.v1.invoices.retrieve(invoice().stripe_id or "")
    assert found.total == 2200
    assert [line.amount for line in found.lines.data] == [2000, 0, 200]


def test_a_repeated_key_gives_the_same_object_and_another_request_under_it_is_refused(database: Database) -> None:
    client = open_stand_in(database).client
    first = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k"})
    again = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k"})
    assert first.id == again.id
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"name": "Other"}, {"idempotency_key": "k"})


def test_what_it_does_not_know_is_an_error(database: Database) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="knows no GET /v1/charges"):
        open_stand_in(database).client.v1.charges.list()
    with pytest.raises(stripe.InvalidRequestError, match="No such invoice"):
        open_stand_in(database).client.v1.invoices.retrieve("in_1")
