"""Money that comes at Stripe in parts, beside Stripe, or twice."""

from collections.abc import Callable
from datetime import timedelta

from tests.payments.conftest import NOW
from tests.stripe_account import FakeStripe
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.pay import PaymentDraft, list_payments, mark_paid, mark_uncollectible, record_payment
from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.reread import ask_again, reread_open_invoices
from tollkeeper.payments.sync import sync_due_invoices
from tollkeeper.storage.session import Database

LATER = NOW + timedelta(hours=2)
Now = Callable[[], Invoice]


def reread(database: Database, account: StripeAccount, hours: int = 2) -> int:
    return reread_open_invoices(database, account, now=NOW + timedelta(hours=hours))


def assert_in_order(database: Database) -> None:
    with database.snapshot() as session:
        assert check_books(session) == []


def test_two_partial_payments_at_stripe_are_two_payments_here(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    sync_due_invoices(database, account, now=NOW)
    fake.invoices["in_1"]["amount_paid"] = 700
    assert reread(database, account) == 1
    assert (invoice().status, invoice().amount_paid_minor) == ("partly_paid", 700)
    assert reread(database, account, 4) == 0
    fake.invoices["in_1"].update(amount_paid=2200, status="paid")
    assert reread(database, account, 6) == 1
    assert (invoice().status, invoice().stripe_problem) == ("paid", None)
    with database.snapshot() as session:
        amounts = [(one.amount_minor, one.method, one.recorded_by) for one in list_payments(session, invoice().id)]
    assert sorted(amounts) == [(700, "stripe", "Stripe"), (1500, "stripe", "Stripe")]
    assert_in_order(database)


def test_what_stripe_got_beyond_what_was_due_is_told_and_not_recorded(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    sync_due_invoices(database, account, now=NOW)
    with database.transaction() as session:
        record_payment(session, invoice().id, PaymentDraft(amount_minor=1000), by="test", now=NOW)
    fake.invoices["in_1"].update(amount_paid=2200, status="paid")
    reread(database, account)
    assert (invoice().status, invoice().amount_paid_minor) == ("paid", 2200)
    assert invoice().stripe_problem == "Stripe got 10.00 EUR more than was due: give it back there"
    assert_in_order(database)


def test_a_bad_debt_is_one_at_stripe_too_and_is_paid_there_when_it_is_paid_here(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    sync_due_invoices(database, account, now=NOW)
    with database.transaction() as session:
        mark_uncollectible(session, invoice().id, now=NOW)
    sync_due_invoices(database, account, now=LATER)
    assert fake.invoices["in_1"]["status"] == "uncollectible"
    with database.transaction() as session:
        mark_paid(session, invoice().id, now=LATER)
    sync_due_invoices(database, account, now=LATER + timedelta(hours=1))
    assert (fake.invoices["in_1"]["status"], invoice().stripe_status) == ("paid", "paid")


def test_an_operator_lets_stripe_be_asked_at_once(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    sync_due_invoices(database, account, now=NOW)
    fake.invoices["in_1"].update(amount_paid=2200, status="paid")
    soon = NOW + timedelta(minutes=1)
    assert reread_open_invoices(database, account, now=soon) == 0
    with database.transaction() as session:
        ask_again(session, invoice(), now=soon)
    assert reread_open_invoices(database, account, now=soon) == 1
    assert invoice().status == "paid"
