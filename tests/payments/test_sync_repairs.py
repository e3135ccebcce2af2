"""What a person or a crash has moved at Stripe is seen on the invoice, and a retry repairs it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.payments.conftest import NOW
from tests.scenarios.story import Story
from tests.stripe_account import FakeStripe, Fault
from tests.waiting import PATIENCE_SECONDS
from tollkeeper.customers.customers import update_customer
from tollkeeper.invoices.close_invoice import void_invoice
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.books import check_stripe
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.outbox import Operation, perform
from tollkeeper.payments.reread import reread_open_invoices
from tollkeeper.payments.sync import retry_sync, sync_due_invoices
from tollkeeper.payments.tables import StripeSync
from tollkeeper.storage.session import Database

CREATE, ADD, FINALIZE = "POST /v1/invoices", r"POST /v1/invoices/\w+/add_lines", r"POST /v1/invoices/\w+/finalize"
DELETE = r"DELETE /v1/invoices/\w+"
Now = Callable[[], Invoice]
SyncRow = Callable[[], StripeSync]


class Killed(BaseException):
    """The process is killed."""


def sync(database: Database, account: StripeAccount, *, minutes: float = 0) -> None:
    sync_due_invoices(database, account, now=NOW + timedelta(minutes=minutes))


def retry(database: Database, invoice_id: str) -> None:
    with database.transaction() as session:
        assert retry_sync(session, invoice_id, now=NOW)


def change(database: Database, **changes: object) -> None:
    with database.transaction() as session:
        update_customer(session, "acme", changes)


def open_invoices(fake: FakeStripe) -> list[int]:
    return [found["total"] for found in fake.invoices.values() if found["status"] == "open"]


def test_a_customer_that_gets_an_address_for_mail_later_is_told_to_stripe(
    database: Database, fake: FakeStripe, account: StripeAccount, told: Story
) -> None:
    sync(database, account)
    change(database, email="pay@acme.test", name="Acme Ltd")
    told.go_on("2026-02-10 acme uses 1300 requests\n2026-03-01 close period")
    sync(database, account)
    [customer] = fake.customers.values()
    assert (customer["email"], customer["name"]) == ("pay@acme.test", "Acme Ltd")
    assert [found["collection_method"] for found in fake.invoices.values()] == ["charge_automatically", "send_invoice"]
    assert fake.count(r"POST /v1/customers/cus_1") == 1


def test_a_customer_without_address_any_more_has_none_at_stripe(
    database: Database, fake: FakeStripe, account: StripeAccount, told: Story
) -> None:
    change(database, email="pay@acme.test")
    sync(database, account)
    change(database, email=None)
    told.go_on("2026-02-10 acme uses 1300 requests\n2026-03-01 close period")
    sync(database, account)
    assert "email" not in fake.customers["cus_1"]
    assert open_invoices(fake) == [2200, 2300]


def test_a_lost_update_of_a_customer_is_repeated_and_the_next_change_told(
    database: Database, fake: FakeStripe, account: StripeAccount, told: Story
) -> None:
    sync(database, account)
    told.go_on("2026-02-10 acme uses 1300 requests\n2026-03-01 close period")
    change(database, name="Acme Ltd")
    fake.faults.append(Fault(r"POST /v1/customers/\w+", "drop_before", times=3))
    sync(database, account)
    change(database, name="Acme Inc")
    sync(database, account, minutes=1)
    assert fake.customers["cus_1"]["name"] == "Acme Inc"
    assert open_invoices(fake) == [2200, 2300]


def test_a_customer_is_found_again_though_its_mail_address_changed(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice
) -> None:
    change(database, email="old@acme.test")
    fake.faults.append(Fault("POST /v1/customers", "500_after", times=3))
    sync(database, account)
    change(database, email="new@acme.test")
    sync(database, account, minutes=1)
    [customer] = fake.customers.values()
    assert customer["email"] == "new@acme.test"
    assert open_invoices(fake) == [2200]


def test_a_customer_deleted_at_stripe_is_made_anew_by_a_retry(
    database: Database, fake: FakeStripe, account: StripeAccount, told: Story, invoice: Now
) -> None:
    sync(database, account)
    told.go_on("2026-02-10 acme uses 1300 requests\n2026-03-01 close period")
    del fake.customers["cus_1"]
    fake.customers["cus_other"] = {"id": "cus_other", "metadata": {}}
    sync(database, account)
    with database.snapshot() as session:
        second = get_invoice(session, "INV-000002")
    assert second.stripe_problem == (
        "create_invoice: Stripe answered 400: resource_missing at customer; Stripe has no such customer: "
        "if the key is right, a retry makes it anew"
    )
    retry(database, second.id)
    sync(database, account)
    assert sorted(fake.customers) == ["cus_2", "cus_other"]
    assert open_invoices(fake) == [2200, 2300]


def test_a_draft_deleted_at_stripe_is_made_anew_by_a_retry(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now, sync_row: SyncRow
) -> None:
    fake.faults.append(Fault(ADD, "drop_before", times=3))
    sync(database, account)
    fake.invoices.clear()
    sync(database, account, minutes=1)
    assert sync_row().state == "stopped"
    assert "Stripe has no such invoice: if the key is right, a retry makes it anew" in (invoice().stripe_problem or "")
    retry(database, issued.id)
    sync(database, account)
    assert open_invoices(fake) == [2200]
    assert invoice().stripe_problem is None


@pytest.mark.parametrize("how", ["drop_after", "500_after"])
def test_a_lost_answer_to_a_deletion_is_a_deletion(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now, how: str
) -> None:
    fake.extra_cents = 1
    fake.faults.append(Fault(DELETE, how))
    sync(database, account)
    assert fake.invoices == {}
    assert (invoice().stripe_problem or "").endswith("Stripe's draft was deleted")
    assert invoice().stripe_id is None


def test_a_crash_after_a_deletion_leaves_an_invoice_that_a_retry_repairs(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    fake.extra_cents = 1
    with monkeypatch.context() as patch:
        patch.setattr("tollkeeper.payments.push_invoice._forget_draft", die)
        with pytest.raises(Killed):
            sync(database, account)
    assert fake.invoices == {}
    fake.extra_cents = 0
    sync(database, account, minutes=3)
    retry(database, issued.id)
    sync(database, account, minutes=4)
    assert open_invoices(fake) == [2200]


def test_a_payment_while_the_sync_was_cut_off_is_noted(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now
) -> None:
    fake.faults.append(Fault(FINALIZE, "drop_after", times=3))
    sync(database, account)
    fake.invoices["in_1"].update(status="paid", amount_paid=2200)
    sync(database, account, minutes=1)
    assert (invoice().status, invoice().stripe_status, invoice().amount_paid_minor) == ("paid", "paid", 2200)


def test_an_invoice_that_was_changed_before_it_was_final_says_so(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now, sync_row: SyncRow
) -> None:
    fake.faults.append(Fault(FINALIZE, "drop_after", times=3))
    sync(database, account)
    fake.invoices["in_1"]["total"] = 2100
    sync(database, account, minutes=1)
    assert sync_row().state == "stopped"
    assert invoice().stripe_problem == (
        "total is 2100 at Stripe, 2200 here; it is open at Stripe: void it there, then void it here"
    )
    assert (invoice().stripe_id, invoice().stripe_status) == ("in_1", "open")


def test_an_invoice_voided_at_stripe_during_the_sync_says_so(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now
) -> None:
    fake.faults.append(Fault(FINALIZE, "drop_after", times=3))
    sync(database, account)
    fake.invoices["in_1"]["status"] = "void"
    sync(database, account, minutes=1)
    assert invoice().stripe_problem == "voided at Stripe but not here: void it here as well, or issue it anew"


def test_money_for_an_invoice_that_is_void_here_is_seen(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now
) -> None:
    sync(database, account)
    fake.invoices["in_1"].update(status="paid", amount_paid=2200)
    with database.transaction() as session:
        void_invoice(session, issued.id, now=NOW)
    sync(database, account)
    assert invoice().stripe_problem == "paid at Stripe but void here: give the money back there"
    assert invoice().stripe_status == "paid"


def test_a_draft_whose_answer_was_lost_is_deleted_when_ours_is_void(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, invoice: Now
) -> None:
    fake.faults.append(Fault(CREATE, "drop_after", times=3))
    sync(database, account)
    assert list(fake.invoices) == ["in_1"]
    with database.transaction() as session:
        void_invoice(session, issued.id, now=NOW)
    fake.faults.append(Fault(DELETE, "drop_after"))
    sync(database, account)
    assert fake.invoices == {}
    assert (invoice().stripe_id, invoice().stripe_problem) == (None, None)
    with database.snapshot() as session:
        assert check_stripe(session, account) == []


def test_a_wrong_key_is_asked_with_once_for_all_invoices(
    database: Database, fake: FakeStripe, account: StripeAccount, told: Story
) -> None:
    told.go_on("2026-02-10 acme uses 1300 requests\n2026-03-01 close period")
    fake.faults.append(Fault(".*", "401", times=9))
    for minutes in (0, 1, 2, 3, 4):
        sync(database, account, minutes=minutes)
    assert len(fake.requests) == 1
    with database.snapshot() as session:
        problems = session.scalars(select(Invoice.stripe_problem)).all()
    assert problems == ["create_customer: Stripe answered 401: injected_401"] * 2
    fake.faults.clear()
    sync(database, account, minutes=5)
    assert open_invoices(fake) == [2200, 2300]
    with database.snapshot() as session:
        assert session.scalars(select(Invoice.stripe_problem)).all() == [None, None]


def test_an_open_invoice_that_stripe_does_not_know_stops_no_other(
    database: Database, fake: FakeStripe, account: StripeAccount, told: Story, invoice: Now
) -> None:
    sync(database, account)
    told.go_on("2026-02-10 acme uses 1300 requests\n2026-03-01 close period")
    sync(database, account, minutes=1)
    del fake.invoices["in_1"]
    fake.invoices["in_2"].update(status="paid", amount_paid=2300)
    assert reread_open_invoices(database, account, now=NOW + timedelta(hours=2)) == 1
    assert invoice().stripe_problem == "retrieve_invoice: Stripe answered 404: resource_missing at invoice"
    with database.snapshot() as session:
        assert get_invoice(session, "INV-000002").status == "paid"


def test_after_a_crash_another_run_goes_on_in_two_minutes(
    database: Database, fake: FakeStripe, account: StripeAccount, issued: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("tollkeeper.payments.push_invoice.read_invoice", die)
        with pytest.raises(Killed):
            sync(database, account)
    sync(database, account, minutes=1.9)
    assert open_invoices(fake) == []
    sync(database, account, minutes=2)
    assert open_invoices(fake) == [2200]


def test_two_workers_that_decide_the_same_send_the_same(database: Database, fake: FakeStripe, issued: Invoice) -> None:
    both = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def operation(name: str) -> Operation:
        return Operation("test", "create_customer", "cus_1", {"name": name}, lambda told, _: str(told["name"]), str)

    def decide(name: str) -> str:
        both.wait()
        return perform(database, operation(name), now=NOW)

    with ThreadPoolExecutor(2) as workers:
        sent = set(workers.map(decide, ("Acme", "Acme Ltd")))
    assert len(sent) == 1
