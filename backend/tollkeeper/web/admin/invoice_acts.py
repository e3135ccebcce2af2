"""What is done to an issued invoice on its page: a payment recorded, given up on, voided, sent."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.close_invoice import AfterVoid, void_invoice
from tollkeeper.invoices.credit_note_reading import get_note
from tollkeeper.invoices.credit_note_tables import CreditReason, Settlement
from tollkeeper.invoices.credit_notes import CreditNoteDraft, issue_credit_note, void_credit_note
from tollkeeper.invoices.mail import ask_for_mail
from tollkeeper.invoices.pay import PaymentDraft, mark_uncollectible, record_payment
from tollkeeper.invoices.reading import get_invoice
from tollkeeper.money import parse_minor
from tollkeeper.storage.ids import new_id
from tollkeeper.web.actor import acting_admin
from tollkeeper.web.admin.forms import Form
from tollkeeper.web.admin.invoices import invoice_page
from tollkeeper.web.context import transaction, web_context

MOST_PLACE_DIGITS = 6  # of a line's position; Python reads no number of thousands of digits
Chosen = TypeVar("Chosen", bound=StrEnum)

blueprint = Blueprint("invoice_acts", __name__, url_prefix="/invoices/<number>")


@blueprint.post("/payments")
def pay(number: str) -> ResponseReturnValue:
    """Record money that came past Stripe; without an amount all that is due."""
    form = Form.of(request.form)

    def act(session: Session, now: datetime) -> object:
        currency = get_invoice(session, number).currency
        draft = PaymentDraft(
            amount_minor=parse_minor(form.text("amount"), currency, "/amount") if form.text("amount") else None,
            reference=form.text("reference") or None,
            key=form.text("key") or None,
        )
        return record_payment(session, number, draft, by=acting_admin(), now=now)

    return do(number, "The payment is recorded.", act, name="pay")


@blueprint.post("/give-up")
def give_up(number: str) -> ResponseReturnValue:
    """Note a bad debt."""
    return do(
        number,
        "Marked as uncollectible.",
        lambda session, now: mark_uncollectible(session, number, by=acting_admin(), now=now),
    )


@blueprint.post("/void")
def void(number: str) -> ResponseReturnValue:
    """Void it; its charges go on the next invoice, or are forgiven."""
    then = AfterVoid.FORGIVE if request.form.get("then") == AfterVoid.FORGIVE else AfterVoid.BILL_AGAIN
    return do(
        number,
        "The invoice is void.",
        lambda session, now: void_invoice(session, number, then=then, by=acting_admin(), now=now),
    )


@blueprint.post("/credit-notes")
def take_back(number: str) -> ResponseReturnValue:
    """Issue a credit note for an amount, of the whole invoice or of one line."""
    form = Form.of(request.form)

    def act(session: Session, now: datetime) -> object:
        amount = parse_minor(form.text("amount"), get_invoice(session, number).currency, "/amount")
        line = form.text("line")
        if line and not (line.isdecimal() and len(line) <= MOST_PLACE_DIGITS):
            raise InvalidInput.of("/line", "choose one of the lines")
        draft = CreditNoteDraft(
            reason=_choice(CreditReason, form.text("reason"), "/reason"),
            lines={int(line): amount} if line else {},
            amount_minor=None if line else amount,
            to=_choice(Settlement, form.text("to"), "/to") if form.text("to") else None,
            memo=form.text("memo"),
            key=form.text("key") or None,
        )
        return issue_credit_note(session, number, draft, by=acting_admin(), now=now)

    return do(number, "The credit note is issued.", act, name="take_back")


@blueprint.post("/credit-notes/<note>/void")
def void_note(number: str, note: str) -> ResponseReturnValue:
    """Void a credit note of this invoice that only took off what was due."""

    def act(session: Session, now: datetime) -> object:
        if get_note(session, note).invoice_id != get_invoice(session, number).id:
            raise Conflict("the credit note is another invoice's")
        return void_credit_note(session, note, by=acting_admin(), now=now)

    return do(number, "The credit note is void.", act)


@blueprint.post("/mails")
def mail(number: str) -> ResponseReturnValue:
    """Send it by e-mail, also once more."""
    key = Form.of(request.form).text("key") or None
    return do(
        number,
        "The invoice will be sent by e-mail.",
        lambda session, now: ask_for_mail(session, number, key, by=acting_admin(), now=now),
    )


def _choice(kind: type[Chosen], text: str, path: str) -> Chosen:
    if text not in set(kind):
        raise InvalidInput.of(path, f"choose from {', '.join(kind)}")
    return kind(text)


def do(number: str, done: str, act: Callable[[Session, datetime], object], *, name: str = "") -> ResponseReturnValue:
    """Do an act on an invoice and show it again; if refused, with why and what was typed into form `name`."""
    try:
        with transaction() as session:
            act(session, web_context().clock.now())
    except (InvalidInput, Conflict) as error:
        flash(f"Not done: {error.message}", "bad")
        form = Form.of(request.form)
        form = replace(form, texts={**form.texts, "key": form.text("key") or new_id("form")})
        return invoice_page(number, form.with_errors(error), failed=name), 422
    flash(done)
    return redirect(url_for("admin.invoices.show", id_or_number=number))
