"""Invoices reach Stripe once, equal to the smallest unit, whatever fails on the way."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.payments.conftest import NOW
from tests.scenarios.story import Story
from tests.stripe_account import FakeStripe, Fault
from tollkeeper.customers.customers import update_customer
from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.close_invoice import void_invoice
from tollkeeper.invoices.pay import mark_paid
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.books import check_stripe
from tollkeeper.payments.client import StripeAccount, open_stand_in, open_stripe
from tollkeeper.payments.hosted_url import read_hosted_url
from tollkeeper.payments.sync import _claim, _enqueue, count_syncs, retry_sync, sync_due_invoices
from tollkeeper.payments.tables import StripeRequest, StripeSync, SyncState
from tollkeeper.storage.session import Database

CREATE, ADD, FINALIZE = "POST /v1/invoices", r"POST /v1/invoices/\w+/add_lines", r"POST /v1/invoices/\w+/finalize"
HOW = ["drop_before", "drop_after", "500_saved", "500_after", "429", "409", "503"]
HOW += ["200_page", "200_empty", "200_list", "200_no_id", "503_saved", "402_saved"]
Now = Callable[[], Invoice]
SyncRow = Callable[[], StripeSync]


def run_until_done(database: Database, account: StripeAccount, rounds: int = 20) -> int:
    """Run the job with enough time between; return in which round nothing was left to do."""
    for index in range(1, rounds + 1):
        sync_due_invoices(database, account, now=NOW + timedelta(minutes=20 * index))
        with database.snapshot() as session:
            waiting = session.scalar(
                select(func.count()).select_from(StripeSync).where(StripeSync.state == SyncState.WAITING)
            )
        if not waiting:
            return index
    raise AssertionError("it never ends")


def assert_one_right_invoice(fake: FakeStripe) -> None:
    [found] = fake.invoices.values()
    assert found["status"] == "open"
    assert found["total"] == 2200
    assert [line["amount"] for line in found["lines"]["data"]] == [2000, 0, 200]
    assert len(fake.customers) == 1


def test_an_issued_invoice_becomes_an_open_one_at_stripe(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now
) -> None:
    report = sync_due_invoices(database, account, now=NOW)
    assert (report.done, report.waiting, report.stopped) == (1, 0, 0)
    with database.snapshot() as session:
        assert count_syncs(session) == {"done": 1}
    assert_one_right_invoice(fake)
    [found] = fake.invoices.values()
    assert found["currency"] == "eur"
    assert found["auto_advance"] == "false"
    assert found["collection_method"] == "charge_automatically"
    assert found["metadata"] == {"tollkeeper_invoice_id": issued.id, "tollkeeper_invoice_number": "INV-000001"}
    ours = invoice()
    assert (ours.stripe_id, ours.stripe_status, ours.stripe_problem) == ("in_1", "open", None)
    assert ours.hosted_invoice_url == "https://invoice.stripe.test/in_1"
    assert ours.stripe_is_stand_in is False


def test_a_customer_with_an_address_for_mail_is_asked_to_pay_by_invoice(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice
) -> None:
    address = {"line1": "Street 1", "city": "Berlin", "country": "DE", "note": "not Stripe's"}
    with database.transaction() as session:
        update_customer(session, "acme", {"email": "pay@acme.test", "address": address})
    sync_due_invoices(database, account, now=NOW)
    [found] = fake.invoices.values()
    assert (found["collection_method"], found["days_until_due"]) == ("send_invoice", "30")
    [customer] = fake.customers.values()
    assert customer["email"] == "pay@acme.test"
    assert customer["address"] == {"line1": "Street 1", "city": "Berlin", "country": "DE"}


def test_customers_of_the_stand_in_are_not_those_of_an_account(
    database: Database, fake: FakeStripe, account: StripeAccount, told: Story
) -> None:
    sync_due_invoices(database, open_stand_in(database), now=NOW)
    told.go_on("2026-02-10 acme uses 1300 requests\n2026-03-01 close period")
    sync_due_invoices(database, account, now=NOW)
    assert list(fake.customers) == ["cus_1"]
    [found] = fake.invoices.values()
    assert (found["customer"], found["total"]) == ("cus_1", 2300)


def test_a_second_run_sends_nothing(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice
) -> None:
    sync_due_invoices(database, account, now=NOW)
    count = len(fake.requests)
    sync_due_invoices(database, account, now=NOW + timedelta(days=3))
    assert len(fake.requests) == count


@pytest.mark.parametrize("request_name", ["POST /v1/customers", CREATE, ADD, FINALIZE, r"GET /v1/invoices/\w+"])
@pytest.mark.parametrize("how", HOW)
def test_every_fault_at_every_request_ends_in_one_invoice(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, request_name: str, how: str
) -> None:
    fake.faults.append(Fault(request_name, how, times=4))
    run_until_done(database, account)
    assert fake.faults[0].times < 4, "the fault was not met"
    assert_one_right_invoice(fake)
    with database.snapshot() as session:
        assert check_stripe(session, account) == []


def test_a_saved_500_takes_a_new_key_after_a_look(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice
) -> None:
    fake.faults.append(Fault(CREATE, "500_saved"))
    run_until_done(database, account)
    keys = [key for method, path, _, key in fake.requests if f"{method} {path}" == CREATE]
    assert keys[0] == f"tk-test-create_invoice-{issued.id}-0-1"
    assert keys[-1] == f"tk-test-create_invoice-{issued.id}-0-2"
    assert fake.count("GET /v1/invoices") == 1


def test_after_a_day_it_looks_before_it_creates_again(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice
) -> None:
    fake.faults.append(Fault(CREATE, "drop_after", times=3))
    sync_due_invoices(database, account, now=NOW)
    assert len(fake.invoices) == 1
    fake.forget_keys()
    sync_due_invoices(database, account, now=NOW + timedelta(hours=25))
    assert_one_right_invoice(fake)


def test_parameters_are_replayed_exactly_though_the_customer_was_renamed(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice
) -> None:
    fake.faults.append(Fault("POST /v1/customers", "drop_after", times=3))
    sync_due_invoices(database, account, now=NOW)
    with database.transaction() as session:
        update_customer(session, "acme", {"name": "Acme Ltd"})
    run_until_done(database, account)
    sent = [tree["name"] for method, path, tree, _ in fake.requests if f"{method} {path}" == "POST /v1/customers"]
    assert set(sent) == {"Acme"}
    assert_one_right_invoice(fake)


def test_a_replay_is_the_same_request_to_the_byte(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice
) -> None:
    # the first try sends what was just decided, the second what the database kept; the fake compares the bodies
    fake.faults += [Fault(request, "drop_after", times=3) for request in ("POST /v1/customers", CREATE, ADD, FINALIZE)]
    run_until_done(database, account)
    assert_one_right_invoice(fake)
    assert all(key.endswith("-1") for key in fake.keys), "no second key was needed"


def test_a_draft_that_differs_is_deleted_and_reported(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now, sync_row: SyncRow
) -> None:
    fake.extra_cents = 1
    sync_due_invoices(database, account, now=NOW)
    assert fake.invoices == {}
    assert sync_row().state == "stopped"
    assert invoice().stripe_problem == "total is 2201 at Stripe, 2200 here; Stripe's draft was deleted"
    assert invoice().stripe_id is None
    fake.extra_cents = 0
    with database.transaction() as session:
        retry_sync(session, issued.id, now=NOW)
    run_until_done(database, account)
    assert_one_right_invoice(fake)


def test_a_balance_at_stripe_is_drift(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now
) -> None:
    fake.customer_balance = -500
    sync_due_invoices(database, account, now=NOW)
    assert fake.invoices == {}
    assert "starting balance is -500" in (invoice().stripe_problem or "")


def test_a_wrong_request_stops_with_its_code_and_a_corrected_one_takes_a_new_key(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now, sync_row: SyncRow
) -> None:
    sync_due_invoices(database, account, now=NOW, limit=0)
    with database.transaction() as session:
        session.add(
            StripeRequest(
                idempotency_key=f"tk-test-create_invoice-{issued.id}-0-1",
                account="test",
                operation="create_invoice",
                subject_id=issued.id,
                part=0,
                attempt=1,
                parameters={"customer": "cus_gone", "currency": "eur"},
                decided_at=NOW,
            )
        )
    sync_due_invoices(database, account, now=NOW)
    assert sync_row().state == "stopped"
    assert invoice().stripe_problem == (
        "create_invoice: Stripe answered 400: resource_missing at customer; Stripe has no such customer: "
        "if the key is right, a retry makes it anew"
    )
    with database.transaction() as session:
        retry_sync(session, issued.id, now=NOW)
    sync_due_invoices(database, account, now=NOW)
    assert_one_right_invoice(fake)


def test_a_wrong_key_rests_the_whole_account(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, sync_row: SyncRow
) -> None:
    fake.faults.append(Fault(".*", "401"))
    report = sync_due_invoices(database, account, now=NOW)
    assert report.account_refused is not None
    assert len(fake.requests) == 1
    assert sync_row().due_at == NOW + timedelta(minutes=5)
    sync_due_invoices(database, account, now=NOW + timedelta(minutes=4))
    assert len(fake.requests) == 1
    sync_due_invoices(database, account, now=NOW + timedelta(minutes=5))
    assert_one_right_invoice(fake)


def test_waits_grow_and_a_rate_limit_waits_longer(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, sync_row: SyncRow
) -> None:
    fake.faults += [Fault(CREATE, "drop_before", times=6), Fault(CREATE, "429")]
    sync_due_invoices(database, account, now=NOW)
    assert sync_row().due_at == NOW + timedelta(seconds=2)
    sync_due_invoices(database, account, now=NOW + timedelta(seconds=2))
    assert sync_row().due_at == NOW + timedelta(seconds=6)
    sync_due_invoices(database, account, now=NOW + timedelta(seconds=6))
    assert sync_row().due_at == NOW + timedelta(seconds=66)


def test_two_workers_do_not_take_the_same_invoice(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice
) -> None:
    with database.transaction() as session:
        _enqueue(session, now=NOW)
        assert _claim(session, now=NOW) is not None
    with database.transaction() as session:
        assert _claim(session, now=NOW) is None
        assert _claim(session, now=NOW + timedelta(minutes=11)) is not None


def test_a_total_below_the_minimum_charge_is_held_with_the_reason(
    database: Database, fake: FakeStripe, account: StripeAccount
) -> None:
    Story(
        database,
        """
        plan mini: 0.49 USD per month
        2026-01-01 acme subscribes to mini
        2026-01-01 close period
        """,
    )
    report = sync_due_invoices(database, account, now=NOW)
    assert report.held == 1
    assert fake.requests == []
    with database.snapshot() as session:
        reason = get_invoice(session, "INV-000001").stripe_problem
    assert reason is not None
    assert reason.startswith("not sent: 49 is below Stripe's minimum charge of 50")


def test_a_three_decimal_currency_is_refused_with_a_reason(
    database: Database, fake: FakeStripe, account: StripeAccount
) -> None:
    Story(
        database,
        """
        plan mini: 1.005 KWD per month
        2026-01-01 acme subscribes to mini
        2026-01-01 close period
        """,
    )
    report = sync_due_invoices(database, account, now=NOW)
    assert report.stopped == 1
    assert fake.requests == []
    with database.snapshot() as session:
        reason = get_invoice(session, "INV-000001").stripe_problem
    assert reason == "KWD has three decimals and is not sent to Stripe; collect this invoice another way"


def test_icelandic_krona_go_out_in_multiples_of_a_hundred(
    database: Database, fake: FakeStripe, account: StripeAccount
) -> None:
    Story(
        database,
        """
        plan iceland: 1500 ISK per month
        2026-01-01 acme subscribes to iceland
        2026-01-01 close period
        """,
    )
    sync_due_invoices(database, account, now=NOW)
    [found] = fake.invoices.values()
    assert found["total"] == 150_000


def test_a_void_here_voids_at_stripe(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now
) -> None:
    sync_due_invoices(database, account, now=NOW)
    with database.transaction() as session:
        void_invoice(session, issued.id, now=NOW)
    fake.faults.append(Fault(r"POST /v1/invoices/\w+/void", "drop_after", times=3))
    run_until_done(database, account)
    assert fake.invoices["in_1"]["status"] == "void"
    assert invoice().stripe_status == "void"


def test_a_payment_outside_of_stripe_is_told_to_stripe(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice
) -> None:
    sync_due_invoices(database, account, now=NOW)
    with database.transaction() as session:
        mark_paid(session, issued.id, now=NOW)
    sync_due_invoices(database, account, now=NOW)
    assert fake.invoices["in_1"]["status"] == "paid"
    assert fake.count(r"POST /v1/invoices/in_1/pay") == 1


def test_the_address_of_stripe_s_page_is_read_anew(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now
) -> None:
    assert read_hosted_url(account, invoice()) is None
    sync_due_invoices(database, account, now=NOW)
    fake.invoices["in_1"]["hosted_invoice_url"] = "https://invoice.stripe.test/new"
    assert read_hosted_url(account, invoice()) == "https://invoice.stripe.test/new"
    fake.faults.append(Fault(r"GET /v1/invoices/\w+", "503", times=3))
    assert read_hosted_url(account, invoice()) is None


def test_the_key_of_another_kind_is_refused_with_the_fix() -> None:
    with pytest.raises(InvalidInput, match="publishable"):
        open_stripe("pk_test_1")
    with pytest.raises(InvalidInput, match="is empty"):
        open_stripe(" ")
