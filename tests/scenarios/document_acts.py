"""Sentences of a story about an issued invoice's later life: payments, bad debts, what is overdue."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tollkeeper.invoices.pay import PaymentDraft, mark_overdue, mark_uncollectible, record_payment
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.money import parse_minor

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


DOCUMENT_SENTENCES: list[tuple[str, Callable[..., None]]] = [
    (rf"({TIME}) pay ([\d.]+) of (INV-\d+)", pay_part),
    (rf"({TIME}) give up on (INV-\d+)", give_up),
    (rf"({TIME}) find overdue", find_overdue),
]
