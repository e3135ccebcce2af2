"""Credit notes reach Stripe once, with amounts that add up there, whatever fails on the way."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.payments.conftest import NOW
from tests.stripe_account import FakeStripe, Fault
from tollkeeper.invoices.credit_note_reading import get_note
from tollkeeper.invoices.credit_note_tables import CreditNote, CreditReason, Settlement
from tollkeeper.invoices.credit_notes import CreditNoteDraft, issue_credit_note, void_credit_note
from tollkeeper.invoices.pay import mark_paid
from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.books import check_stripe
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.push_credit_note import sync_credit_notes
from tollkeeper.payments.reread import reread_open_invoices
from tollkeeper.payments.sync import sync_due_invoices
from tollkeeper.storage.session import Database

Now = Callable[[], Invoice]
CREATE = "POST /v1/credit_notes"


def take_back(database: Database, amount: int, to: Settlement | None = None) -> None:
    draft = CreditNoteDraft(reason=CreditReason.DUPLICATE, amount_minor=amount, to=to)
    with database.transaction() as session:
        issue_credit_note(session, "INV-000001", draft, by="test", now=NOW)


def run(database: Database, account: StripeAccount, rounds: int = 1) -> None:
    for index in range(rounds):
        now = NOW + timedelta(minutes=20 * index)
        sync_credit_notes(database, account, now=now)
        sync_due_invoices(database, account, now=now)


def note(database: Database, number: str = "CN-000001") -> CreditNote:
    with database.snapshot() as session:
        return get_note(session, number)


def assert_like_stripe(database: Database, account: StripeAccount) -> None:
    with database.snapshot() as session:
        assert check_stripe(session, account) == []


def test_a_credit_note_on_an_open_invoice_is_only_an_amount(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    run(database, account)
    take_back(database, 700)
    run(database, account, 3)
    [found] = fake.credit_notes.values()
    assert (found["amount"], found["invoice"], found["reason"], found["email_type"]) == (
        700, "in_1", "duplicate", "none"
    )  # fmt: skip
    assert "refund_amount" not in found
    assert fake.invoices["in_1"]["amount_remaining"] == 1500
    assert (note(database).stripe_id, note(database).stripe_state) == ("cn_1", "done")
    assert_like_stripe(database, account)


def test_an_invoice_that_a_credit_note_settles_gets_it_before_it_is_paid_there(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    run(database, account)
    take_back(database, 2200)
    assert invoice().status == "paid"
    run(database, account, 3)
    assert (fake.invoices["in_1"]["status"], fake.invoices["in_1"]["amount_paid"]) == ("paid", 0)
    assert fake.credit_notes["cn_1"]["amount"] == 2200
    assert fake.count(r"POST /v1/invoices/\w+/pay") == 0
    assert_like_stripe(database, account)


def test_what_stripe_got_is_refunded_there_and_credit_is_out_of_band_there(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    run(database, account)
    fake.invoices["in_1"].update(amount_paid=2200, amount_remaining=0, status="paid")
    reread_open_invoices(database, account, now=NOW + timedelta(hours=2))
    take_back(database, 1200, Settlement.REFUND)
    take_back(database, 1000, Settlement.CREDIT)
    run(database, account, 3)
    told = {n["amount"]: (n.get("refund_amount"), n.get("out_of_band_amount")) for n in fake.credit_notes.values()}
    assert told == {1200: ("1200", None), 1000: (None, "1000")}
    assert_like_stripe(database, account)


@pytest.mark.parametrize("how", ["drop_before", "drop_after", "500_saved", "500_after", "429", "503", "200_page"])
def test_every_fault_ends_in_one_credit_note(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now, how: str
) -> None:
    run(database, account)
    take_back(database, 2200)
    fake.faults.append(Fault(CREATE, how, times=4))
    run(database, account, 8)
    assert fake.faults[0].times < 4, "the fault was not met"
    assert [found["amount"] for found in fake.credit_notes.values()] == [2200]
    assert note(database).stripe_state == "done"


def test_a_void_here_is_a_void_there(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    run(database, account)
    take_back(database, 700)
    run(database, account)
    with database.transaction() as session:
        void_credit_note(session, "CN-000001", by="test", now=NOW)
    run(database, account, 2)
    assert fake.credit_notes["cn_1"]["status"] == "void"
    assert fake.invoices["in_1"]["amount_remaining"] == 2200
    assert_like_stripe(database, account)


def test_what_was_paid_past_stripe_and_given_back_is_less_to_pay_there(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    run(database, account)
    with database.transaction() as session:
        mark_paid(session, "INV-000001", now=NOW)
    take_back(database, 700, Settlement.OUT_OF_BAND)
    run(database, account, 3)
    assert (fake.credit_notes["cn_1"]["pre_payment"], fake.invoices["in_1"]["status"]) == (700, "paid")
    assert_like_stripe(database, account)


def test_money_that_stripe_got_and_we_have_not_seen_is_waited_for(
    database: Database, fake: FakeStripe, account: StripeAccount, invoice: Now
) -> None:
    run(database, account)
    fake.invoices["in_1"].update(amount_paid=2000, amount_remaining=200)
    take_back(database, 700)
    run(database, account)
    assert note(database).stripe_state == "waiting"
    assert "200 of it is open at Stripe" in (note(database).stripe_problem or "")
    assert fake.credit_notes == {}
