"""An issued invoice never changes: not by our code, not by hand, and if it did, the books would tell."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from tests.scenarios.story import Story
from tests.unguarded import take_guards_away
from tollkeeper.customers.customers import get_customer, update_customer
from tollkeeper.errors import Conflict
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.close_invoice import AfterVoid, void_invoice
from tollkeeper.invoices.draft import discard_draft, draft_invoice
from tollkeeper.invoices.finalize import finalize_invoice
from tollkeeper.invoices.immutable import FIXED_COLUMNS, LIVING_COLUMNS
from tollkeeper.invoices.pay import mark_paid
from tollkeeper.invoices.reading import get_invoice, list_lines
from tollkeeper.invoices.verify import Verdict, verify_invoice
from tollkeeper.notifications.tables import Notification
from tollkeeper.storage.session import Database

NOW = datetime(2026, 2, 2, tzinfo=UTC)
STORY = """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 5 calls
    2026-02-01 close period
"""


@pytest.fixture
def issued(database: Database) -> Story:
    """INV-000001 of 20.00 and INV-000002 of 20.50."""
    story = Story(database, STORY)
    assert story.invoices == ["INV-000001 acme 20.00 EUR", "INV-000002 acme 20.50 EUR"]
    return story


ACTS = (
    "UPDATE invoices SET status = 'issued' WHERE number = 'INV-000002'",
    "UPDATE invoices SET status = 'paid' WHERE number = 'INV-000002'",
    """
    INSERT INTO invoice_lines SELECT 'new', invoice_id, 99, billed_period_id, customer_id, subscription_id,
    plan_version_id, rate_card_key, kind, description, quantity, unit_price, amount_minor, period_start, period_end,
    proof FROM invoice_lines WHERE position = 1
    """,
)


def test_nothing_void_is_brought_back_and_no_line_is_added(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        void_invoice(session, "INV-000002", then=AfterVoid.FORGIVE, now=NOW)
    for statement in ACTS:
        with pytest.raises(IntegrityError, match="never changes"), database.transaction() as session:
            session.execute(text(statement))


def test_its_later_life_may_be_noted(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        invoice = mark_paid(session, "INV-000001", now=NOW)
        invoice.stripe_id = "in_1"
        invoice.stripe_problem = "none"
    with database.snapshot() as session:
        assert get_invoice(session, "INV-000001").status == "paid"
        assert check_books(session) == []


def test_every_column_is_either_content_or_later_life() -> None:
    assert not LIVING_COLUMNS & set(FIXED_COLUMNS)
    assert {"total_minor", "number", "buyer", "seller", "issued_at", "due_at", "content_digest"} <= set(FIXED_COLUMNS)


def test_a_change_behind_the_triggers_is_found_by_books_and_proof(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        take_guards_away(session)
        session.execute(text("UPDATE invoice_lines SET amount_minor = amount_minor + 1 WHERE kind = 'usage'"))
    with database.snapshot() as session:
        problems = check_books(session)
        findings = verify_invoice(session, "INV-000002")
    assert "INV-000002: the lines add up to 2051, the total says 2050" in problems
    assert "INV-000002: is not what was issued, its digest differs" in problems
    assert [finding.verdict for finding in findings] == [Verdict.DIFFERS, Verdict.EQUAL, Verdict.DIFFERS]


def test_a_lost_number_is_found(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        take_guards_away(session)
        session.execute(
            text("DELETE FROM invoice_lines WHERE invoice_id IN (SELECT id FROM invoices WHERE number = 'INV-000001')")
        )
        session.execute(
            text(
                "UPDATE billed_periods SET invoice_id = NULL WHERE invoice_id IN "
                "(SELECT id FROM invoices WHERE number = 'INV-000001')"
            )
        )
        session.execute(text("DELETE FROM invoice_acts"))
        session.execute(text("DELETE FROM invoices WHERE number = 'INV-000001'"))
    with database.snapshot() as session:
        problems = check_books(session)
    assert "legal entity default: 2 numbers were given out, 1 invoices have one, up to 2" in problems


def test_a_period_that_was_never_billed_is_found(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        take_guards_away(session)
        session.execute(text("DELETE FROM invoice_lines WHERE kind = 'usage'"))
        session.execute(text("DELETE FROM billed_periods WHERE rate_card_key = 'calls'"))
    with database.snapshot() as session:
        problems = check_books(session)
    assert any("calls: the period from 2026-01-01" in problem and "was not billed" in problem for problem in problems)


def test_lost_and_changed_events_are_found_by_the_proof(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        session.execute(text("DELETE FROM events"))
    with database.snapshot() as session:
        findings = verify_invoice(session, "INV-000002")
    assert [finding.verdict for finding in findings] == [Verdict.EQUAL, Verdict.EQUAL, Verdict.DIFFERS]
    assert "the 1 events that were billed are not those that are stored (0)" in findings[2].detail


def test_late_events_are_told_apart_from_a_difference(database: Database) -> None:
    Story(database, STORY + "\n2026-02-10 acme uses 3 calls on 2026-01-20")
    with database.snapshot() as session:
        findings = verify_invoice(session, "INV-000002")
    assert [finding.verdict for finding in findings] == [Verdict.EQUAL, Verdict.EQUAL, Verdict.LATE]
    assert findings[2].detail == "1 events came since; the next invoice bills them"


def test_a_repeated_finalization_changes_nothing(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        before = get_invoice(session, "INV-000001")
        digest, issued_at = before.content_digest, before.issued_at
        again = finalize_invoice(session, before.id, now=NOW)
        assert (again.content_digest, again.issued_at, again.number) == (digest, issued_at, "INV-000001")


def test_a_paid_invoice_cannot_be_voided_and_a_void_one_cannot_be_paid(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        mark_paid(session, "INV-000001", now=NOW)
        void_invoice(session, "INV-000002", now=NOW)
    with database.transaction() as session, pytest.raises(Conflict, match="credit note"):
        void_invoice(session, "INV-000001", now=NOW)
    with database.transaction() as session, pytest.raises(Conflict, match="is void"):
        mark_paid(session, "INV-000002", now=NOW)
    with database.transaction() as session, pytest.raises(Conflict, match="is issued"):
        discard_draft(session, "INV-000001")


def test_a_discarded_draft_leaves_its_charges_for_the_next(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        void_invoice(session, "INV-000001", then=AfterVoid.BILL_AGAIN, now=NOW)
        payer = get_customer(session, "acme")
        draft = draft_invoice(session, payer, now=NOW)
        assert draft is not None
        assert (draft.status, draft.number, draft.total_minor) == ("draft", None, 2000)
        discard_draft(session, draft.id)
        again = draft_invoice(session, payer, now=NOW)
        assert again is not None
        assert len(list_lines(session, again.id)) == 1
        assert finalize_invoice(session, again.id, now=NOW).number == "INV-000003"
    with database.snapshot() as session:
        assert check_books(session) == []


def test_the_buyer_on_the_document_stays_though_the_customer_is_renamed(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        update_customer(session, "acme", {"name": "Acme Ltd"})
        assert get_invoice(session, "INV-000001").buyer["name"] == "Acme"
        assert check_books(session) == []


def test_the_outside_is_told_once_of_each_turn(database: Database, issued: Story) -> None:
    with database.transaction() as session:
        for _ in range(2):
            mark_paid(session, "INV-000001", now=NOW)
            void_invoice(session, "INV-000002", now=NOW)
    with database.snapshot() as session:
        told = [
            (row.kind, row.payload["number"], row.payload["total"])
            for row in session.scalars(select(Notification).where(Notification.kind.startswith("invoice.")))
        ]
    assert sorted(told) == [
        ("invoice.issued", "INV-000001", "20.00"),
        ("invoice.issued", "INV-000002", "20.50"),
        ("invoice.paid", "INV-000001", "20.00"),
        ("invoice.voided", "INV-000002", "20.50"),
    ]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE subscriptions SET next_due_at = NULL", "the billing run will look at None"),
        ("UPDATE subscriptions SET next_due_at = '2099-01-01T00:00:00.000000Z'", "will look at 2099-01-01"),
        ("DELETE FROM attributions", "its usage is not counted for the customers that the mappings name"),
        ("UPDATE consumer_mappings SET value = 'user:globex'", "its usage is not counted for the customers that"),
    ],
)
def test_what_would_quietly_never_be_billed_is_found(
    database: Database, issued: Story, statement: str, problem: str
) -> None:
    with database.transaction() as session:
        session.execute(text(statement.replace(":0", "\\:0").replace(":g", "\\:g")))
    with database.snapshot() as session:
        assert [problem in found for found in check_books(session)] == [True]
