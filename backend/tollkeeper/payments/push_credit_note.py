"""The job that brings credit notes to Stripe, and voids there what was voided here (docs/stripe.md).

Stripe takes a credit note off what is open first, as we do. What went into prepaid credit here is out of band there:
the balance that Stripe keeps of a customer stays zero. Of prepaid credit that an invoice drew Stripe knows nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import stripe
import structlog
from sqlalchemy import exists, or_, select, update
from sqlalchemy.orm import Session

from tollkeeper.errors import InvalidInput
from tollkeeper.invoices.credit_note_tables import CreditNote, CreditNoteStatus, NoteSync
from tollkeeper.invoices.tables import Invoice
from tollkeeper.payments.answers import Next, wait_before_repeat
from tollkeeper.payments.client import StripeAccount
from tollkeeper.payments.exponents import to_stripe_amount
from tollkeeper.payments.find import PAGE, first_with, read_invoice
from tollkeeper.payments.outbox import Operation, StripeRefused, perform
from tollkeeper.payments.tables import StripeRequest, StripeSync, SyncState
from tollkeeper.storage.session import Database

log = structlog.get_logger()

LEASE = timedelta(minutes=2)
MISMATCH_REST = timedelta(minutes=10)
MOST_A_RUN = 100


@dataclass(frozen=True, slots=True)
class NotePush:
    """One credit note on its way."""

    database: Database
    account: StripeAccount
    note: CreditNote
    invoice_stripe_id: str
    now: datetime


class NoteMismatch(Exception):
    """Stripe would do something else with it than we did: it got money that we have not seen, or the reverse."""


def sync_credit_notes(database: Database, account: StripeAccount, *, now: datetime) -> int:
    """Bring waiting credit notes of invoices that are at Stripe there; return how many. Cut off anywhere, go on.

    No transaction is open during HTTP. A claim only spares work: each request is decided once (outbox.py).
    """
    done = 0
    for _ in range(MOST_A_RUN):
        with database.transaction() as session:
            push = _claim(session, database, account, now=now)
        if push is None:
            break
        try:
            stripe_id = _push(push)
        except InvalidInput as stopped:
            _note(push, {"stripe_state": NoteSync.STOPPED, "stripe_problem": stopped.fields[0].message})
        except NoteMismatch as other:
            _note(push, {"stripe_due_at": now + MISMATCH_REST, "stripe_problem": str(other)})
        except StripeRefused as refused:
            _note_refusal(push, refused)
            if refused.refusal.next is Next.STOP_ACCOUNT:
                break
        else:
            _finish(push, stripe_id)
            done += 1
    return done


def waits_for_its_credit_notes() -> Any:
    """Return the condition that an invoice that is open at Stripe has credit notes that are still to come there."""
    return exists().where(
        CreditNote.invoice_id == Invoice.id,
        CreditNote.stripe_state == NoteSync.WAITING,
        CreditNote.status == CreditNoteStatus.ISSUED,
        Invoice.stripe_status == "open",
    )


def retry_credit_note(session: Session, note_id: str, *, now: datetime) -> bool:
    """Let a stopped credit note try again, after a person has mended the cause; False if it is not stopped."""
    retried = session.scalars(
        update(CreditNote)
        .where(CreditNote.id == note_id, CreditNote.stripe_state == NoteSync.STOPPED)
        .values(stripe_state=NoteSync.WAITING, stripe_due_at=now, stripe_failures=0)
        .returning(CreditNote.id)
    ).all()
    return bool(retried)


def _claim(session: Session, database: Database, account: StripeAccount, *, now: datetime) -> NotePush | None:
    row = session.execute(
        select(CreditNote, Invoice.stripe_id)
        .join(Invoice, Invoice.id == CreditNote.invoice_id)
        .join(StripeSync, StripeSync.invoice_id == Invoice.id)
        .where(
            CreditNote.stripe_state == NoteSync.WAITING,
            CreditNote.stripe_due_at <= now,
            # one that was voided before it went there has nothing to do there
            or_(CreditNote.status == CreditNoteStatus.ISSUED, CreditNote.stripe_id.is_not(None)),
            CreditNote.total_minor > CreditNote.prepaid_minor,
            StripeSync.state == SyncState.DONE,
            Invoice.stripe_id.is_not(None),
            Invoice.stripe_status.in_(["open", "paid", "uncollectible"]),
            Invoice.stripe_is_stand_in == account.is_stand_in,
        )
        .order_by(CreditNote.stripe_due_at, CreditNote.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=CreditNote)
    ).first()
    if row is None:
        return None
    note, invoice_stripe_id = row
    note.stripe_due_at = now + LEASE
    return NotePush(database, account, note, str(invoice_stripe_id), now)


def _push(push: NotePush) -> str:
    if push.note.status == CreditNoteStatus.VOID:
        return perform(push.database, _void_operation(push), now=push.now)
    return perform(push.database, _create_operation(push, _decided(push) or _amounts(push)), now=push.now)


def _decided(push: NotePush) -> dict[str, Any]:
    """Return the amounts of an earlier try, whose work may have been done: Stripe's invoice is another one then."""
    with push.database.snapshot() as session:
        asked = session.scalars(
            select(StripeRequest)
            .where(
                StripeRequest.account == push.account.name,
                StripeRequest.operation == "create_credit_note",
                StripeRequest.subject_id == push.note.id,
                or_(StripeRequest.error.is_(None), StripeRequest.is_doubtful),
            )
            .order_by(StripeRequest.attempt.desc())
            .limit(1)
        ).first()
    told = {} if asked is None else asked.parameters
    return {name: value for name, value in told.items() if name.endswith("amount")}


def _create_operation(push: NotePush, amounts: Mapping[str, Any]) -> Operation:
    note = push.note
    notes: Any = push.account.client.v1.credit_notes
    return Operation(
        account=push.account.name,
        name="create_credit_note",
        subject_id=note.id,
        parameters={
            "invoice": push.invoice_stripe_id,
            **amounts,
            "reason": note.reason,
            "memo": f"Credit note {note.number}" + (f": {note.memo}" if note.memo else ""),
            "email_type": "none",
            "metadata": {"tollkeeper_credit_note_id": note.id, "tollkeeper_credit_note_number": note.number},
        },
        send=lambda parameters, options: str(notes.create(parameters, options).id),
        find=lambda: first_with(
            notes.list({"invoice": push.invoice_stripe_id, "limit": PAGE}).auto_paging_iter(),
            "tollkeeper_credit_note_id",
            note.id,
        ),
    )


def _amounts(push: NotePush) -> dict[str, int]:
    """Return the amounts as Stripe takes them: those of money that went back only if they are not still open there."""
    note = push.note
    refund = to_stripe_amount(note.refund_minor, note.currency)
    beside = to_stripe_amount(note.out_of_band_minor + note.credit_minor - note.prepaid_minor, note.currency)
    amount = to_stripe_amount(note.total_minor - note.prepaid_minor, note.currency)
    found = read_invoice(push.account, push.invoice_stripe_id)
    still_open = int(getattr(found, "amount_remaining", 0) or 0)
    after_payment = max(0, amount - still_open) if found.status == "open" else amount
    if after_payment == 0:
        return {"amount": amount}
    if after_payment != refund + beside:
        raise NoteMismatch(
            f"{still_open} of it is open at Stripe, which would take {after_payment} of this credit note as money that "
            f"went back; here it is {refund + beside}: it waits until the payments here and there agree"
        )
    told = {"refund_amount": refund, "out_of_band_amount": beside}
    return {"amount": amount, **{name: minor for name, minor in told.items() if minor}}


def _void_operation(push: NotePush) -> Operation:
    notes: Any = push.account.client.v1.credit_notes
    stripe_id = push.note.stripe_id or ""

    def find() -> str | None:
        return stripe_id if notes.retrieve(stripe_id).status == "void" else None

    return Operation(
        account=push.account.name,
        name="void_credit_note",
        subject_id=push.note.id,
        parameters={},
        send=lambda parameters, options: str(notes.void_credit_note(stripe_id, parameters, options).id),
        find=find,
    )


def _note_refusal(push: NotePush, refused: StripeRefused) -> None:
    log.warning("stripe_refused", credit_note=push.note.id, operation=refused.operation, code=refused.refusal.code)
    if refused.refusal.next in {Next.STOP, Next.STAYS_OPEN}:
        _note(push, {"stripe_state": NoteSync.STOPPED, "stripe_problem": str(refused)})
        return
    failures = push.note.stripe_failures + 1
    wait = wait_before_repeat(failures, refused.refusal)
    _note(push, {"stripe_due_at": push.now + wait, "stripe_failures": failures, "stripe_problem": str(refused)})


def _finish(push: NotePush, stripe_id: str) -> None:
    # voided while it was on its way: it waits on, to be voided there
    with push.database.transaction() as session:
        note = session.get_one(CreditNote, push.note.id, with_for_update=True)
        note.stripe_id, note.stripe_problem = stripe_id, None
        if note.status == push.note.status:
            note.stripe_state = NoteSync.DONE


def _note(push: NotePush, columns: dict[str, Any]) -> None:
    with push.database.transaction() as session:
        session.execute(update(CreditNote).where(CreditNote.id == push.note.id).values(**columns))


def check_credit_notes(session: Session, account: StripeAccount) -> list[str]:
    """Return what differs between our credit notes and the account's, in words; asks Stripe once for each."""
    notes: Any = account.client.v1.credit_notes
    wrong = []
    for note in session.scalars(
        select(CreditNote)
        .join(Invoice, Invoice.id == CreditNote.invoice_id)
        .where(CreditNote.stripe_id.is_not(None), Invoice.stripe_is_stand_in == account.is_stand_in)
        .order_by(CreditNote.id)
    ):
        name = f"{note.number}, {note.stripe_id}"
        try:
            found = notes.retrieve(note.stripe_id)
        except stripe.StripeError as error:
            wrong.append(f"{name}: {type(error).__name__}")
            continue
        amount = to_stripe_amount(note.total_minor - note.prepaid_minor, note.currency)
        if found.amount != amount or (found.status == "void") != (note.status == CreditNoteStatus.VOID):
            wrong.append(f"{name}: is {found.amount}, {found.status} at Stripe, and {amount}, {note.status} here")
    return wrong
