"""Webhooks come twice, late and in any order; our invoice only ever moves forward."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.fakes import sign
from tests.payments.conftest import NOW
from tests.stripe_account import FakeStripe, Fault
from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.apply_events import apply_stripe_events
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.reread import reread_open_invoices
from tollkeeper.payments.sync import sync_due_invoices
from tollkeeper.payments.tables import StripeEvent
from tollkeeper.payments.take_over import MAY_FOLLOW
from tollkeeper.payments.webhooks import BadWebhook, WebhookSettings, receive_webhook
from tollkeeper.storage.session import Database

OLD, NEW = "whsec_old", "whsec_new"
SETTINGS = WebhookSettings((OLD, NEW), is_live=False)
STAMP = int(NOW.timestamp())
Now = Callable[[], Invoice]


@pytest.fixture
def synced(database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice) -> FakeStripe:
    """The account after the issued invoice, in_1, got there."""
    sync_due_invoices(database, account, now=NOW)
    return fake


def receive(database: Database, body: bytes) -> bool:
    with database.transaction() as session:
        return receive_webhook(session, body, sign(body, NEW, STAMP), SETTINGS, machine_now=NOW, now=NOW)


def test_a_payment_makes_the_invoice_paid(
    database: Database, synced: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    synced.invoices["in_1"].update(status="paid", amount_paid=2200)
    assert receive(database, synced.event("invoice.paid", "in_1"))
    assert invoice().status == "issued"
    assert apply_stripe_events(database, account, now=NOW) == 1
    assert (invoice().status, invoice().amount_paid_minor, invoice().paid_at) == ("paid", 2200, NOW)


def test_a_repeated_event_is_kept_and_applied_once(
    database: Database, synced: FakeStripe, account: StripeAccount
) -> None:
    body = synced.event("invoice.updated", "in_1")
    assert [receive(database, body), receive(database, body)] == [True, False]
    with database.snapshot() as session:
        assert session.scalar(select(func.count()).select_from(StripeEvent)) == 1
    assert apply_stripe_events(database, account, now=NOW) == 1
    assert apply_stripe_events(database, account, now=NOW) == 0


def test_an_event_that_says_open_after_paid_changes_nothing(
    database: Database, synced: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    late = synced.event("invoice.finalized", "in_1", "evt_late")
    synced.invoices["in_1"].update(status="paid", amount_paid=2200)
    receive(database, synced.event("invoice.paid", "in_1", "evt_first"))
    apply_stripe_events(database, account, now=NOW)
    synced.invoices["in_1"]["status"] = "open"  # even if Stripe itself took it back
    receive(database, late)
    apply_stripe_events(database, account, now=NOW)
    assert (invoice().status, invoice().stripe_status) == ("paid", "paid")


def test_paid_without_the_money_is_not_paid(
    database: Database, synced: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    synced.invoices["in_1"].update(status="paid", amount_paid=0)
    receive(database, synced.event("invoice.paid", "in_1"))
    apply_stripe_events(database, account, now=NOW)
    assert invoice().status == "issued"
    assert invoice().stripe_problem == "Stripe says paid, but only 0 was paid"


def test_a_failed_payment_leaves_it_open_with_the_reason(
    database: Database, synced: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    receive(database, synced.event("invoice.payment_failed", "in_1"))
    apply_stripe_events(database, account, now=NOW)
    assert invoice().status == "issued"
    assert invoice().stripe_problem == "a payment failed at Stripe; the invoice stays open"


@pytest.mark.parametrize("end", [("uncollectible", "uncollectible"), ("void", "issued")])
def test_other_ends_are_taken_over(
    database: Database, synced: FakeStripe, account: StripeAccount, invoice: Now, end: tuple[str, str]
) -> None:
    theirs, ours = end
    synced.invoices["in_1"]["status"] = theirs
    receive(database, synced.event("invoice.updated", "in_1"))
    apply_stripe_events(database, account, now=NOW)
    assert (invoice().status, invoice().stripe_status) == (ours, theirs)


def test_an_uncollectible_invoice_that_is_paid_after_all_is_paid(
    database: Database, synced: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    synced.invoices["in_1"]["status"] = "uncollectible"
    receive(database, synced.event("invoice.marked_uncollectible", "in_1", "evt_1"))
    apply_stripe_events(database, account, now=NOW)
    synced.invoices["in_1"].update(status="paid", amount_paid=2200)
    receive(database, synced.event("invoice.paid", "in_1", "evt_2"))
    apply_stripe_events(database, account, now=NOW)
    assert invoice().status == "paid"


def test_an_event_before_our_own_commit_waits_and_one_of_a_stranger_is_let_go(
    database: Database, synced: FakeStripe, account: StripeAccount
) -> None:
    synced.invoices["in_strange"] = {**synced.invoices["in_1"], "id": "in_strange", "metadata": {}}
    receive(database, synced.event("invoice.paid", "in_strange"))
    assert apply_stripe_events(database, account, now=NOW) == 0
    assert apply_stripe_events(database, account, now=NOW + timedelta(hours=2)) == 1
    with database.snapshot() as session:
        assert session.scalars(select(StripeEvent.outcome)).one() == "ignored: the invoice is not one of ours"


def test_an_outage_while_applying_loses_nothing(
    database: Database, synced: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    synced.invoices["in_1"].update(status="paid", amount_paid=2200)
    receive(database, synced.event("invoice.paid", "in_1"))
    synced.faults.append(Fault(r"GET /v1/invoices/\w+", "503", times=3))
    assert apply_stripe_events(database, account, now=NOW) == 0
    assert apply_stripe_events(database, account, now=NOW + timedelta(seconds=2)) == 1
    assert invoice().status == "paid"


def test_a_payment_whose_webhook_was_missed_is_found_by_asking(
    database: Database, synced: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    synced.invoices["in_1"].update(status="paid", amount_paid=2200)
    assert reread_open_invoices(database, account, now=NOW + timedelta(minutes=59)) == 0
    synced.faults.append(Fault(r"GET /v1/invoices/\w+", "503", times=3))
    assert reread_open_invoices(database, account, now=NOW + timedelta(hours=1)) == 0
    assert reread_open_invoices(database, account, now=NOW + timedelta(hours=1)) == 1
    assert invoice().status == "paid"
    assert reread_open_invoices(database, account, now=NOW + timedelta(hours=9)) == 0


def test_an_event_of_the_other_mode_is_kept_and_ignored(
    database: Database, synced: FakeStripe, account: StripeAccount
) -> None:
    assert receive(database, synced.event("invoice.paid", "in_1", live=True))
    assert apply_stripe_events(database, account, now=NOW) == 0


def test_an_unknown_type_is_taken_and_closed(
    database: Database, synced: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    assert receive(database, synced.event("charge.succeeded", "in_1"))
    assert apply_stripe_events(database, account, now=NOW) == 1
    assert invoice().status == "issued"


@pytest.mark.parametrize("offset", [-301, 301])
def test_a_timestamp_off_in_either_direction_is_refused(database: Database, synced: FakeStripe, offset: int) -> None:
    body = synced.event("invoice.paid", "in_1")
    with database.transaction() as session, pytest.raises(BadWebhook, match="5 minutes"):
        receive_webhook(session, body, sign(body, NEW, STAMP + offset), SETTINGS, machine_now=NOW, now=NOW)


@pytest.mark.parametrize("secret", [OLD, NEW])
@pytest.mark.parametrize("offset", [-299, 0, 299])
def test_each_of_the_secrets_is_good(database: Database, synced: FakeStripe, secret: str, offset: int) -> None:
    body = synced.event("invoice.paid", "in_1")
    with database.transaction() as session:
        assert receive_webhook(session, body, sign(body, secret, STAMP + offset), SETTINGS, machine_now=NOW, now=NOW)


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (b"{}", None),
        (b"{}", "t=abc,v1=00"),
        (b"{}", f"t={STAMP},v1=00"),
        (b"\xff\xfe", f"t={STAMP},v1=00"),
        (b"not json", sign(b"not json", NEW, STAMP)),
        (b'{"object": "list"}', sign(b'{"object": "list"}', NEW, STAMP)),
        (b'{"id": "evt_1", "object": "event", "type": "x"}', "t=1"),
    ],
)
def test_what_is_not_stripe_s_is_refused(session: object, body: bytes, signature: str | None) -> None:
    with pytest.raises(BadWebhook):
        receive_webhook(session, body, signature, SETTINGS, machine_now=NOW, now=NOW)  # type: ignore[arg-type]  # the fixture's session


def test_without_a_secret_nothing_is_taken(session: object) -> None:
    with pytest.raises(BadWebhook, match="TOLLKEEPER_STRIPE_WEBHOOK_SECRETS"):
        receive_webhook(session, b"{}", "t=1,v1=1", WebhookSettings((), False), machine_now=NOW, now=NOW)  # type: ignore[arg-type]


def test_no_state_may_be_followed_by_one_before_it() -> None:
    rank = {None: 0, "draft": 1, "open": 2, "uncollectible": 3, "paid": 4, "void": 4}
    assert all(rank[then] > rank[now] for now, following in MAY_FOLLOW.items() for then in following)
