"""Sentences of a story about an issued invoice's later life: payments, bad debts, what is overdue."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tollkeeper.invoices.credit_note_reading import list_all_notes
from tollkeeper.invoices.credit_note_tables import CreditNote, CreditReason, Settlement
from tollkeeper.invoices.credit_notes import CreditNoteDraft, issue_credit_note, void_credit_note
from tollkeeper.invoices.pay import PaymentDraft, mark_overdue, mark_uncollectible, record_payment
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.money import format_minor, parse_minor

TIME = r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?"


def instant(text: str) -> datetime:
    """Read a time of a story."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def pay_part(story: Any, time: str, amount: str, number: str) -> None:
    """Pay a part of an invoice, past Stripe."""
    with story.database.transaction() as session:
        minor = parse_minor(amount, get_invoice(session, number).currency, "/amount")
        record_payment(session, number, PaymentDraft(amount_minor=minor), by="story", now=instant(time))


def give_up(story: Any, time: str, number: str) -> None:
    """Give up on what is due for an invoice."""
    with story.database.transaction() as session:
        mark_uncollectible(session, number, now=instant(time))


def find_overdue(story: Any, time: str) -> None:
    """Run the job that finds overdue invoices."""
    with story.database.transaction() as session:
        mark_overdue(session, now=instant(time))


def take_back(story: Any, time: str, number: str, amount: str, *how: str | None) -> None:
    """Issue a credit note for an amount of an invoice, with tax in it, or of one of its lines, before tax."""
    line, to = how
    with story.database.transaction() as session:
        minor = parse_minor(amount, get_invoice(session, number).currency, "/amount")
        draft = CreditNoteDraft(
            reason=CreditReason.ORDER_CHANGE,
            lines={int(line): minor} if line else {},
            amount_minor=None if line else minor,
            to=Settlement(to.replace(" ", "_")) if to else None,
        )
        issue_credit_note(session, number, draft, by="story", now=instant(time))


def void_note(story: Any, time: str, number: str) -> None:
    """Void a credit note."""
    with story.database.transaction() as session:
        void_credit_note(session, number, by="story", now=instant(time))


def notes_of(story: Any) -> list[str]:
    """Return every credit note: number, state, total, and where it went."""
    with story.database.snapshot() as session:
        return sorted(_describe(note) for note in list_all_notes(session))


def _describe(note: CreditNote) -> str:
    ways = ("reduction", "credit", "refund", "out_of_band")
    went = [f"{way} {format_minor(amount, note.currency)}" for way in ways if (amount := getattr(note, f"{way}_minor"))]
    return f"{note.number} {note.status} {format_minor(note.total_minor, note.currency)}: {', '.join(went)}"


DOCUMENT_SENTENCES: list[tuple[str, Callable[..., None]]] = [
    (rf"({TIME}) pay ([\d.]+) of (INV-\d+)", pay_part),
    (rf"({TIME}) give up on (INV-\d+)", give_up),
    (rf"({TIME}) find overdue", find_overdue),
    (rf"({TIME}) take back of (INV-\d+) ([\d.]+)(?: of line (\d+))?(?: to (credit|refund|out of band))?", take_back),
    (rf"({TIME}) void (CN-\d+)", void_note),
]
