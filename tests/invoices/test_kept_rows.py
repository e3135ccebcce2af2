"""What is written once is never changed, removed or replaced, in any table that promises it, on both engines."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.acts_on_kept_rows import acts_against, kept_tables
from tests.scenarios.story import Story
from tests.shop import at
from tollkeeper.access.audit import Actor, ActorKind, record_act
from tollkeeper.catalog.draft import create_plan_draft
from tollkeeper.catalog.plans import get_published_version
from tollkeeper.catalog.versions import plan_spec_of
from tollkeeper.credits.grants import GrantDraft, grant_credit
from tollkeeper.credits.tables import GrantKind
from tollkeeper.credits.top_up import TopUpTerms, set_top_up
from tollkeeper.customers.customers import get_customer
from tollkeeper.invoices.credit_note_tables import CreditReason
from tollkeeper.invoices.credit_notes import CreditNoteDraft, issue_credit_note
from tollkeeper.invoices.forget import forget_person
from tollkeeper.invoices.pay import PaymentDraft, record_payment
from tollkeeper.invoices.retention import drop_old_events
from tollkeeper.invoices.top_up import charge_top_up
from tollkeeper.metering.forget_person import Person
from tollkeeper.storage.base import Base
from tollkeeper.storage.session import Database
from tollkeeper.taxes.rates import TaxRateDraft, create_rate

STORY = """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    plan pro also: 20.00 USD per month, 0.10 USD each of calls
    coupon WELCOME: 10 % off
    2026-01-01 acme subscribes to pro
    2026-01-01 acme agrees on 30.00 EUR per month
    2026-01-01 acme redeems WELCOME
    2026-01-01 close period
    2026-01-10 acme uses 5 calls
    wait 1 hours for late events
    2026-02-01 02:00 close period
    2026-03-01 02:00 close period
    2026-03-10 acme uses 7 calls
"""
KEPT = {
    "audit_log", "billed_periods", "coupon_uses", "coupons", "credit_accounts", "credit_entries", "credit_grants",
    "credit_note_lines", "credit_notes", "credit_top_ups", "credit_transactions", "dropped_days", "forgetting_acts",
    "forgotten_days", "forgotten_proofs", "invoice_acts", "invoice_lines", "invoice_payments", "invoices",
    "plan_versions", "subscription_overrides", "subscriptions", "tax_rates",
}  # fmt: skip
UNIQUE = ("number", "sequence_number", "stripe_id")
NOW = at("2026-03-20")
TOP_UP = TopUpTerms(threshold_minor=100_000, amount_minor=500, is_charged=True)


@pytest.fixture
def filled(database: Database) -> Database:
    """A row in each table that promises something, and a draft of a plan beside the published version."""
    Story(database, STORY)
    with database.transaction() as session:
        create_rate(session, TaxRateDraft(name="VAT", country="DE", percentage=Decimal(19)), now=NOW)
        grant = GrantDraft(kind=GrantKind.PROMOTIONAL, amount_minor=500, key="hello")
        grant_credit(session, "acme", grant, now=NOW)
        acme = set_top_up(session, get_customer(session, "acme").id, "EUR", TOP_UP, now=NOW).customer_id
        assert charge_top_up(session, acme, "EUR", now=NOW)
        record_payment(session, "INV-000001", PaymentDraft(amount_minor=100, key="p1"), by="test", now=NOW)
        note = CreditNoteDraft(reason=CreditReason.DUPLICATE, lines={1: 200}, key="n1")
        issue_credit_note(session, "INV-000001", note, by="test", now=NOW)
        session.execute(text("UPDATE invoices SET stripe_id = 'in_1' WHERE number = 'INV-000001'"))
        session.execute(text("UPDATE credit_notes SET stripe_id = 'cn_1'"))
        spec = plan_spec_of(get_published_version(session, "pro"))
        create_plan_draft(session, "pro", spec, now=NOW)
        forget_person(session, Person(subjects={"user:acme"}), by="test", now=NOW)
        actor = Actor(ActorKind.COMMAND, "user:operator", "operator")
        record_act(session, actor, "tollkeeper events forget", target="", now=NOW)
    assert drop_old_events(database, keep_days=10, only_exported=False, now=NOW, grace=timedelta(hours=1)).dropped
    return database


def test_no_act_on_a_kept_row_is_taken(filled: Database) -> None:
    tables = kept_tables()
    assert tables.keys() == KEPT
    with filled.snapshot() as session:
        acts = [(kept.message, act) for table, kept in tables.values() for act in acts_against(session, table, kept)]
        empty = [name for name in tables if not session.scalar(text(f"SELECT count(*) FROM {name}"))]
    assert empty == []
    assert len(acts) > 200
    answers = [(act, message, _answer_to(filled, act)) for message, act in acts]
    assert [(act, answer) for act, message, answer in answers if message not in answer] == []


ISSUED = "(SELECT id FROM invoices WHERE number = 'INV-000001')"
MOVES = [
    # a line leaves an issued invoice for a draft, and a draft's line comes to an issued one
    f"UPDATE invoice_lines SET invoice_id = 'draft' WHERE invoice_id = {ISSUED}",
    f"UPDATE invoice_lines SET invoice_id = {ISSUED} WHERE invoice_id = 'draft'",
    "UPDATE plan_versions SET status = 'published' WHERE status = 'archived'",
]
MOVES_OF_ENGINE = {
    "sqlite": [
        "UPDATE OR REPLACE plan_versions SET version = 1 WHERE status = 'draft'",
        "UPDATE OR REPLACE plan_versions SET status = 'published' WHERE status = 'draft'",
        "UPDATE OR REPLACE invoices SET number = 'INV-000001', status = 'issued' WHERE status = 'draft'",
        "UPDATE OR REPLACE invoices SET stripe_id = 'in_1' WHERE number <> 'INV-000001'",
        "UPDATE OR REPLACE credit_notes SET stripe_id = 'cn_1' WHERE number <> 'CN-000001'",
    ],
    # a temporary table hides the one that the guard looks into
    "postgresql": [
        "CREATE TEMP TABLE invoices AS SELECT id, 'draft' status FROM invoices; UPDATE invoice_lines SET position = 9",
    ],
}


def test_nothing_kept_goes_by_a_detour(filled: Database) -> None:
    _add_drafts(filled)
    acts = MOVES + MOVES_OF_ENGINE[filled.engine.dialect.name]
    assert [(act, answer) for act in acts if "never changes" not in (answer := _answer_to(filled, act))] == []


def _add_drafts(database: Database) -> None:
    """Put a draft of an invoice with a line, a second credit note, and a plan's draft beside what is kept."""
    with database.transaction() as session:
        note = CreditNoteDraft(reason=CreditReason.DUPLICATE, lines={1: 100})
        issue_credit_note(session, "INV-000001", note, by="test", now=NOW)
        _copy(
            session,
            "invoices",
            "number = 'INV-000001'",
            id="'draft'",
            status="'draft'",
            **dict.fromkeys(UNIQUE, "NULL"),
        )
        _copy(session, "invoice_lines", "position = 1 LIMIT 1", id="'new'", invoice_id="'draft'")


def _copy(session: Session, table: str, which: str, **changed: str) -> None:
    names = Base.metadata.tables[table].columns.keys()
    taken = ", ".join(changed.get(name, name) for name in names)
    session.execute(text(f"INSERT INTO {table} ({', '.join(names)}) SELECT {taken} FROM {table} WHERE {which}"))


def _answer_to(database: Database, statement: str) -> str:
    try:
        with database.transaction() as session:
            for one in statement.split("; "):
                session.execute(text(one.replace(":", "\\:")))
            session.rollback()
    except DBAPIError as error:
        return str(error.orig)
    return "taken"
