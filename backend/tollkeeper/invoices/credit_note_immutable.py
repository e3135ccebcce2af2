"""Keep credit notes as they were issued: a digest over the content, and triggers that refuse every change."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tollkeeper.invoices.credit_note_tables import CreditNote, CreditNoteLine
from tollkeeper.storage.append_only import Kept, keep_rows

LIVING_COLUMNS = frozenset(
    {
        "status", "voided_at", "voided_by",
        "stripe_id", "stripe_state", "stripe_due_at", "stripe_failures", "stripe_problem",
    }
)  # fmt: skip
REFUSAL = "an issued credit note never changes"
FIXED_COLUMNS = keep_rows(
    CreditNote.__table__, Kept(message=REFUSAL, living=LIVING_COLUMNS, stays="{row}.status = 'void'")
)
LINE_COLUMNS = keep_rows(CreditNoteLine.__table__, Kept(message=REFUSAL))


def note_document_of(note: CreditNote, lines: Sequence[CreditNoteLine]) -> dict[str, Any]:
    """Return everything that a credit note says, as plain JSON."""
    return {
        "credit_note": {name: _plain(getattr(note, name)) for name in FIXED_COLUMNS if name != "content_digest"},
        "lines": [{name: getattr(line, name) for name in LINE_COLUMNS} for line in lines],
    }


def note_digest(note: CreditNote, lines: Sequence[CreditNoteLine]) -> str:
    """Return sha256 over everything that a credit note says, as canonical JSON."""
    text = json.dumps(note_document_of(note, lines), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
