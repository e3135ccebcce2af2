"""Credit notes never exceed their invoice: not in any order, not at the same time, not by a hand in the database."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.invoices.test_properties import fresh
from tests.scenarios.document_acts import notes_of
from tests.scenarios.story import Story
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.books import check_books
from tollkeeper.invoices.credit_note_amounts import Room, split_gross, tax_on
from tollkeeper.invoices.credit_note_reading import list_notes
from tollkeeper.invoices.credit_note_tables import CreditReason, Settlement
from tollkeeper.invoices.credit_notes import CreditNoteDraft, issue_credit_note
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.storage.session import Database

NOW = datetime(2026, 2, 2, tzinfo=UTC)
EXAMPLES = int(os.environ.get("BILLING_EXAMPLES", "12"))
STORY = """
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls
    customer acme in EUR
    2026-01-01 grant acme 33.00 EUR of promotional credit
    2026-01-01 acme subscribes to pro
    2026-01-10 acme uses 50 calls
    2026-02-01 close period
"""  # INV-000001 of 20.00, paid by credit; INV-000002 of 25.00, of which credit pays 13.00

# 20.00 and 5.00 less credit of 13.00, which leaves 9.60 and 2.40; 1.82 and 0.17 of tax are on top of all of it
TAXED = """
    tax is charged in DE
    tax VAT of 19 % in DE
    tax Reduced of 7 % in DE for books
    plan pro: 20.00 EUR per month, 0.10 EUR each of calls, taxed as books
    customer acme in EUR
    acme is in DE
    """ + STORY.partition("customer acme in EUR")[2]
MOST = {STORY: 2500, TAXED: 2699}

amount = st.integers(1, 2800)
way = st.sampled_from([None, "credit", "refund", "out of band"])
act = st.one_of(
    st.tuples(st.just("amount"), amount, way),
    st.tuples(st.just("line"), amount, way, st.integers(1, 4)),
    st.tuples(st.just("pay"), amount),
    st.tuples(st.just("void"), st.integers(1, 4)),
    st.tuples(st.just("give up")),
)


def sentence(told: tuple[object, ...]) -> str:
    """Return an act on INV-000002 as a sentence of the story."""
    kind, *more = told
    if kind == "pay":
        return f"2026-02-03 pay {int(str(more[0])) / 100:.2f} of INV-000002"
    if kind == "void":
        return f"2026-02-03 void CN-{more[0]:06}"
    if kind == "give up":
        return "2026-02-03 give up on INV-000002"
    line = f" of line {more[2]}" if kind == "line" else ""
    to = f" to {more[1]}" if more[1] else ""
    return f"2026-02-03 take back of INV-000002 {int(str(more[0])) / 100:.2f}{line}{to}"


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(beginning=st.sampled_from([STORY, TAXED]), acts=st.lists(act, min_size=1, max_size=8))
def test_credit_notes_never_exceed_their_invoice_whatever_happens(
    sqlite_template: Path, tmp_path: Path, beginning: str, acts: list[tuple[object, ...]]
) -> None:
    database = fresh(sqlite_template, tmp_path)
    story = Story(database, beginning)
    for told in acts:
        try:
            story.go_on(sentence(told))  # which checks the books and every proof
        except (Conflict, InvalidInput):
            pass  # more than there is, or at its end
        except Exception as error:
            if type(error).__name__ != "NotFound":
                raise
    with database.snapshot() as session:
        assert check_books(session) == []
        notes = [note for note in list_notes(session, get_invoice(session, "INV-000002").id) if note.status == "issued"]
        assert sum(note.total_minor for note in notes) <= MOST[beginning]
    database.dispose()


@settings(max_examples=max(EXAMPLES, 200), deadline=None)
@given(net=st.integers(0, 10**6), tax=st.integers(0, 10**5), parts=st.lists(st.integers(1, 4 * 10**5), max_size=30))
def test_net_and_tax_of_all_notes_come_to_the_invoice_and_never_to_more(net: int, tax: int, parts: list[int]) -> None:
    room = Room(net, tax)
    for place, part in enumerate(parts):
        if place % 2 and min(part, room.net_left) > 0:
            back = min(part, room.net_left)
            room = room.after(back, tax_on(room, back))
        elif room.left:
            before = room.left
            back_net, back_tax = split_gross(room, min(part, before))
            assert back_net >= 0
            assert back_tax >= 0
            assert back_net + back_tax == min(part, before)
            room = room.after(back_net, back_tax)
        assert 0 <= room.net_left <= net
        assert 0 <= room.tax_left <= tax
    if room.left:
        room = room.after(*split_gross(room, room.left))
    assert (room.net_left, room.tax_left) == (0, 0)


def test_tax_is_rounded_over_all_notes_together_and_the_last_takes_the_rest() -> None:
    # 10.00 net, 1.90 tax, in three: 3.33 each has 0.63 (0.6327), 1.27 (1.2654) together, and all at last
    room = Room(1000, 190)
    parts = []
    for net in (333, 333, 334):
        parts.append(tax_on(room, net))
        room = room.after(net, parts[-1])
    assert parts == [63, 64, 63]


def test_many_at_the_same_time_never_exceed_the_invoice_and_their_numbers_have_no_gap(database: Database) -> None:
    story = Story(database, STORY)

    def take_back(index: int) -> bool:
        draft = CreditNoteDraft(
            reason=CreditReason.DUPLICATE,
            amount_minor=190 if index % 2 else None,
            lines={} if index % 2 else {2: 120},
            to=Settlement.CREDIT,
        )
        try:
            with database.transaction() as session:
                issue_credit_note(session, "INV-000002", draft, by="test", now=NOW)
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(take_back, range(40)))
    notes = notes_of(story)
    assert len(notes) == done
    assert sorted(note.split()[0] for note in notes) == [f"CN-{n:06}" for n in range(1, done + 1)]
    with database.snapshot() as session:
        assert check_books(session) == []
        whole = sum(note.total_minor for note in list_notes(session, get_invoice(session, "INV-000002").id))
    # of 25.00 less than one more of each kind is left, and of the second line's 5.00 at most four times 1.20
    assert 2500 - 190 < whole <= 2500


def test_a_repeat_under_a_key_issues_nothing_more(database: Database) -> None:
    Story(database, STORY)
    draft = CreditNoteDraft(reason=CreditReason.DUPLICATE, amount_minor=100, key="ticket-7")
    other = CreditNoteDraft(reason=CreditReason.DUPLICATE, amount_minor=101, key="ticket-7")
    for _ in range(2):
        with database.transaction() as session:
            assert issue_credit_note(session, "INV-000002", draft, by="test", now=NOW).number == "CN-000001"
    with database.transaction() as session, pytest.raises(Conflict, match="says otherwise"):
        issue_credit_note(session, "INV-000002", other, by="test", now=NOW)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credit_notes SET total_minor = 1",
        "UPDATE credit_notes SET number = 'CN-000009'",
        "DELETE FROM credit_notes",
        "UPDATE credit_note_lines SET amount_minor = 1",
        "DELETE FROM credit_note_lines",
    ],
)
def test_the_database_refuses_to_change_a_credit_note(database: Database, statement: str) -> None:
    Story(database, STORY + "\n2026-02-03 take back of INV-000002 1.00")
    with pytest.raises(IntegrityError, match="never changes"), database.transaction() as session:
        session.execute(text(statement))
