"""Write everything behind a credit note into a folder, for a stranger to check without us (docs/invoices.md)."""

from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.credits.ledger import read_grant
from tollkeeper.credits.tables import CreditGrant
from tollkeeper.errors import Conflict
from tollkeeper.invoices.credit_note_immutable import note_document_of
from tollkeeper.invoices.credit_note_reading import get_note, list_notes, list_of_lines
from tollkeeper.invoices.credit_note_tables import CreditNote
from tollkeeper.invoices.credit_notes import grant_key
from tollkeeper.invoices.export import FORMAT, describe_posted, write_json
from tollkeeper.invoices.immutable import document_of
from tollkeeper.invoices.reading import get_invoice, list_lines
from tollkeeper.money import currency_exponent


def export_credit_note(session: Session, id_or_number: str, folder: Path) -> Path:
    """Write the credit note, its invoice, the credit notes before it, and the credit that it gave; return the folder.

    Raises NotFound, and Conflict for a folder that is there.
    """
    note = get_note(session, id_or_number)
    invoice = get_invoice(session, note.invoice_id)
    if folder.exists():
        raise Conflict(f"{folder} is there already; name another folder with --to")
    before = [one for one in list_notes(session, invoice.id) if one.sequence_number < note.sequence_number]
    grant = session.scalars(select(CreditGrant).where(CreditGrant.key == grant_key(note.id))).first()
    folder.mkdir(parents=True)
    write_json(folder / "document.json", note_document_of(note, list_of_lines(session, note.id)))
    write_json(
        folder / "summary.json",
        {
            "format": FORMAT,
            "kind": "credit_note",
            "number": note.number,
            "content_digest": note.content_digest,
            "currency": note.currency,
            "exponent": currency_exponent(note.currency),
        },
    )
    write_json(
        folder / "invoice.json",
        {
            "document": document_of(invoice, list_lines(session, invoice.id)),
            "content_digest": invoice.content_digest,
        },
    )
    write_json(folder / "notes.json", [_earlier(session, one) for one in before])
    write_json(folder / "credit.json", [describe_posted(one) for one in read_grant(session, grant)] if grant else [])
    return folder


def _earlier(session: Session, note: CreditNote) -> dict[str, Any]:
    return {
        "document": note_document_of(note, list_of_lines(session, note.id)),
        "content_digest": note.content_digest,
        "voided_at": note.voided_at and note.voided_at.isoformat(),
    }
