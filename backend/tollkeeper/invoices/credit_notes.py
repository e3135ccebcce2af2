"""Issue and void credit notes: by line or by amount, never more than the invoice, and once under their key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.credits.grants import GrantDraft, grant_credit
from tollkeeper.credits.tables import GrantKind
from tollkeeper.customers.tables import Customer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.invoices.announce import announce_note
from tollkeeper.invoices.credit_note_immutable import note_digest
from tollkeeper.invoices.credit_note_reading import Taken, get_note, list_notes, list_of_lines, taken_of
from tollkeeper.invoices.credit_note_tables import (
    CreditNote,
    CreditNoteLine,
    CreditNoteStatus,
    CreditReason,
    NoteSync,
    Settlement,
)
from tollkeeper.invoices.credit_note_taxes import RateRoom, Taxes, rooms_by_rate, take_amount, take_lines
from tollkeeper.invoices.legal_entities import describe_buyer, describe_seller, get_legal_entity
from tollkeeper.invoices.net import net_before_tax
from tollkeeper.invoices.numbers import take_credit_note_number
from tollkeeper.invoices.pay import paid_by, settle
from tollkeeper.invoices.payment_tables import InvoiceActKind, PaymentMethod
from tollkeeper.invoices.reading import get_invoice, list_lines
from tollkeeper.invoices.states import OPEN_STATUSES, Deed, amount_due, move
from tollkeeper.invoices.tables import (
    PREPAID_CREDIT,
    STEP_KINDS,
    CreditBeforeTax,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LegalEntity,
    TaxMode,
)
from tollkeeper.money import format_minor
from tollkeeper.storage.ids import new_id

MOST_MEMO = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNoteDraft:
    """What is taken back: net amounts by the position of the invoice's line, or one amount with tax in it.

    What was still due is taken off that first; `to` says where money goes that was paid already.
    """

    reason: CreditReason
    lines: Mapping[int, int] = field(default_factory=dict)
    amount_minor: int | None = None
    to: Settlement | None = None
    memo: str = ""
    key: str | None = None


@dataclass(frozen=True, slots=True)
class _Split:
    """Where a credit note's total goes."""

    reduction: int = 0
    credit: int = 0
    prepaid: int = 0
    refund: int = 0
    out_of_band: int = 0


def issue_credit_note(
    session: Session, id_or_number: str, draft: CreditNoteDraft, *, by: str, now: datetime
) -> CreditNote:
    """Issue a credit note for an invoice; a repeat under the draft's key returns the one that is there.

    The invoice is locked, so all credit notes of one invoice take turns and together never exceed it. The number is
    the last thing taken. Raises InvalidInput for a wrong draft and Conflict for an invoice that takes none.
    """
    invoice = get_invoice(session, id_or_number, is_locked=True)
    earlier = _find_by_key(session, invoice.id, draft.key)
    if earlier is not None:
        return _same(session, earlier, draft)
    if invoice.status not in OPEN_STATUSES | {InvoiceStatus.PAID}:
        raise Conflict(f"invoice {invoice.number or invoice.id} is {invoice.status}; it takes no credit note")
    if len(draft.memo) > MOST_MEMO:
        raise InvalidInput.of("/memo", f"has more than {MOST_MEMO} characters")
    lines = list_lines(session, invoice.id)
    before = [one for one in list_notes(session, invoice.id) if one.status == CreditNoteStatus.ISSUED]
    rooms = rooms_by_rate(lines, [one.proof["taxes"] for one in before])
    taxes = _taxes(session, invoice, lines, rooms, draft)
    net, tax = (sum(one[name] for one in taxes) for name in ("net_minor", "tax_minor"))
    split = _split(session, invoice, lines, net + tax, draft.to)
    seller = get_legal_entity(session, invoice.legal_entity)
    _refuse_untaxed(seller, split, tax)
    customer = session.get_one(Customer, invoice.customer_id)
    note = CreditNote(
        id=new_id("cn"),
        legal_entity=invoice.legal_entity,
        invoice_id=invoice.id,
        customer_id=invoice.customer_id,
        buyer=describe_buyer(customer),
        seller=describe_seller(seller),
        currency=invoice.currency,
        reason=draft.reason,
        memo=draft.memo,
        key=draft.key,
        net_minor=net,
        tax_minor=tax,
        total_minor=net + tax,
        reduction_minor=split.reduction,
        credit_minor=split.credit,
        prepaid_minor=split.prepaid,
        refund_minor=split.refund,
        out_of_band_minor=split.out_of_band,
        proof={"taxes": taxes, "after": [one.number for one in before]},
        issued_at=now,
        issued_by=by,
        status=CreditNoteStatus.ISSUED,
        stripe_state=NoteSync.WAITING,
        stripe_due_at=now,
        stripe_failures=0,
    )
    _give_credit(session, note, customer, invoice, now=now)
    _write(session, note, _lines_of(note, invoice, lines, draft))
    invoice.amount_credited_minor += split.reduction
    deed = Deed(InvoiceActKind.CREDIT_NOTE, by, now, f"{note.number} {format_minor(note.total_minor, note.currency)}")
    _note_on_invoice(session, invoice, deed)
    announce_note(session, note, "issued", now=now)
    return note


def _taxes(
    session: Session,
    invoice: Invoice,
    lines: Sequence[InvoiceLine],
    rooms: Sequence[RateRoom],
    draft: CreditNoteDraft,
) -> Taxes:
    """Return net and tax of a draft by rate; raises InvalidInput if it is not within what is left of the invoice."""
    if (draft.amount_minor is None) == (not draft.lines):
        raise InvalidInput.of("/lines", "name lines with their amounts, or one amount for the whole invoice")
    if sum(one.room.tax for one in rooms) < 0:
        raise Conflict(f"the tax of {invoice.number} is below zero, as credits on it exceed what is taxed as they are")
    if draft.amount_minor is not None:
        left = sum(one.room.left for one in rooms)
        if not 0 < draft.amount_minor <= left:
            raise InvalidInput.of("/amount", f"has to be more than zero and at most {_text(left, invoice)}, {LEFT}")
        return take_amount(rooms, draft.amount_minor)
    _check_lines(lines, draft.lines, taken_of(session, invoice.id), invoice)
    amounts = {line.id: draft.lines[line.position] for line in lines if line.position in draft.lines}
    for one in rooms:
        if sum(amounts.get(line_id, 0) for line_id in one.line_ids) > one.room.net_left:
            terms = one.tax_line.proof if one.tax_line else {}
            at = f" at {terms['name']} {terms['percentage']} %" if len(rooms) > 1 else ""
            most = f"{_text(one.room.net_left, invoice)} before tax{at}"
            raise InvalidInput.of("/lines", f"come to more than {most}, {LEFT}")
    return take_lines(rooms, amounts)


LEFT = "which is what earlier credit notes have left of the invoice"


def _check_lines(
    lines: Sequence[InvoiceLine], wanted: Mapping[int, int], taken: Mapping[str, Taken], invoice: Invoice
) -> None:
    known = {line.position: line for line in lines}
    net = net_before_tax(lines)
    for position, amount in wanted.items():
        line = known.get(position)
        if line is None or line.kind in STEP_KINDS or line.amount_minor <= 0:
            raise InvalidInput.of(f"/lines/{position}", "is no line with a charge; name its position on the invoice")
        left = net[line.id] - (taken[line.id].amount_minor if line.id in taken else 0)
        if not 0 < amount <= left:
            after = "after its coupons and earlier credit notes, before tax"
            most = f"at most {_text(left, invoice)} of this line, {after}"
            raise InvalidInput.of(f"/lines/{position}", f"has to be more than zero and {most}")


def _text(amount_minor: int, invoice: Invoice) -> str:
    return format_minor(amount_minor, invoice.currency)


def _split(
    session: Session, invoice: Invoice, lines: Sequence[InvoiceLine], total: int, to: Settlement | None
) -> _Split:
    """Say where the total goes: off what is due first, then as asked; a refund is at most what was paid."""
    reduction = min(total, amount_due(invoice))
    rest = total - reduction
    if rest == 0:
        return _Split(reduction)
    if to is None:
        raise InvalidInput.of("/to", f"is missing: {_text(rest, invoice)} was paid already; choose where it goes")
    notes = [one for one in list_notes(session, invoice.id) if one.status == CreditNoteStatus.ISSUED]
    drawn = -sum(line.amount_minor for line in lines if line.kind == PREPAID_CREDIT)
    if to is Settlement.CREDIT:
        prepaid = min(rest, drawn - sum(one.prepaid_minor for one in notes))
        return _Split(reduction, credit=rest, prepaid=prepaid)
    by_stripe = paid_by(session, invoice.id, PaymentMethod.STRIPE)
    sent_back = sum(one.refund_minor + one.out_of_band_minor + one.credit_minor - one.prepaid_minor for one in notes)
    left = invoice.amount_paid_minor - sent_back
    if to is Settlement.REFUND:
        left = min(left, by_stripe - sum(one.refund_minor for one in notes))
        if rest > left:
            raise InvalidInput.of("/to", f"Stripe got {_text(left, invoice)} that it can refund; choose another way")
        return _Split(reduction, refund=rest)
    if rest > left:
        raise InvalidInput.of("/to", f"only {_text(left, invoice)} of money was paid; give the rest as credit")
    return _Split(reduction, out_of_band=rest)


def _refuse_untaxed(seller: LegalEntity, split: _Split, tax: int) -> None:
    """Refuse to turn taxed money into credit that is drawn before tax: what it pays would never be taxed."""
    is_before_tax = seller.tax_mode != TaxMode.NONE and seller.credit_before_tax == CreditBeforeTax.ALL
    if is_before_tax and tax and split.credit > split.prepaid:
        reason = "all credit is drawn before tax, so what this one pays would never be taxed"
        raise InvalidInput.of("/to", f"cannot be 'credit': {reason}; give the money back by a refund or out of band")


def _give_credit(session: Session, note: CreditNote, customer: Customer, invoice: Invoice, *, now: datetime) -> None:
    """Put the credit into the ledger, under the credit note's id; the wallet is locked before the number is taken."""
    if note.credit_minor:
        granted = GrantDraft(
            kind=GrantKind.PAID,
            amount_minor=note.credit_minor,
            currency=note.currency,
            name=f"Credit note for {invoice.number}",
            key=grant_key(note.id),
        )
        grant_credit(session, customer.id, granted, now=now)


def grant_key(note_id: str) -> str:
    """Return the key of the grant that a credit note gave."""
    return f"credit_note:{note_id}"


def _lines_of(
    note: CreditNote, invoice: Invoice, lines: Sequence[InvoiceLine], draft: CreditNoteDraft
) -> list[CreditNoteLine]:
    if draft.amount_minor is not None:
        if note.net_minor == 0:
            return []
        parts: list[tuple[str | None, str, int]] = [(None, f"Part of invoice {invoice.number}", note.net_minor)]
    else:
        known = {line.position: line for line in lines}
        parts = [
            (known[position].id, known[position].description, amount)
            for position, amount in sorted(draft.lines.items())
        ]
    return [
        CreditNoteLine(
            credit_note_id=note.id,
            position=position,
            invoice_line_id=line_id,
            description=description,
            amount_minor=amount,
        )
        for position, (line_id, description, amount) in enumerate(parts, start=1)
    ]


def _write(session: Session, note: CreditNote, lines: Sequence[CreditNoteLine]) -> None:
    number = take_credit_note_number(session, note.legal_entity)
    note.number, note.sequence_number = number.text, number.sequence
    note.content_digest = note_digest(note, lines)
    session.add(note)
    session.flush()
    session.add_all(lines)
    session.flush()


def _note_on_invoice(session: Session, invoice: Invoice, deed: Deed) -> None:
    """Write the act down; an invoice that is paid stays so, one of which nothing is due any more becomes it."""
    if invoice.status == InvoiceStatus.PAID:
        move(session, invoice, InvoiceStatus.PAID, deed)
        session.flush()
    else:
        settle(session, invoice, deed)


def void_credit_note(session: Session, id_or_number: str, *, by: str, now: datetime) -> CreditNote:
    """Void a credit note that only took off what was due, while the invoice is not paid; its number stays taken.

    A repeat changes nothing. Raises Conflict once money or credit went back, or the invoice is at its end.
    """
    found = get_note(session, id_or_number)
    invoice = get_invoice(session, found.invoice_id, is_locked=True)
    note = get_note(session, found.id)
    if note.status == CreditNoteStatus.VOID:
        return note
    if note.reduction_minor != note.total_minor:
        raise Conflict(f"credit note {note.number} gave money or credit back; it cannot be taken back")
    if invoice.status not in OPEN_STATUSES:
        raise Conflict(f"invoice {invoice.number} is {invoice.status}; its credit notes cannot be voided any more")
    note.status, note.voided_at, note.voided_by = CreditNoteStatus.VOID, now, by
    note.stripe_state, note.stripe_due_at = NoteSync.WAITING, now
    invoice.amount_credited_minor -= note.reduction_minor
    settle(session, invoice, Deed(InvoiceActKind.CREDIT_NOTE_VOIDED, by, now, note.number))
    announce_note(session, note, "voided", now=now)
    return note


def _find_by_key(session: Session, invoice_id: str, key: str | None) -> CreditNote | None:
    if key is None:
        return None
    return session.scalars(select(CreditNote).where(CreditNote.invoice_id == invoice_id, CreditNote.key == key)).first()


def _same(session: Session, earlier: CreditNote, draft: CreditNoteDraft) -> CreditNote:
    lines = list_of_lines(session, earlier.id)
    amounts = [line.amount_minor for line in lines]
    by_line = bool(lines) and lines[0].invoice_line_id is not None
    is_same = (draft.reason, draft.memo) == (earlier.reason, earlier.memo) and (
        by_line == bool(draft.lines)
        and (
            [amount for _, amount in sorted(draft.lines.items())] == amounts
            if by_line
            else draft.amount_minor == earlier.total_minor
        )
    )
    if not is_same:
        raise Conflict(f"credit note {earlier.number} has the key {earlier.key!r} already and says otherwise")
    return earlier
