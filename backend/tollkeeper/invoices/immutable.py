"""Keep issued invoices unchanged: a digest over the content, and triggers that refuse to change it.

The triggers stand below every program that writes to the database, so that a mistake in our own code or an
UPDATE by hand fails as well (storage/append_only.py).
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tollkeeper.invoices.tables import BilledPeriod, Invoice, InvoiceLine
from tollkeeper.storage.append_only import Kept, keep_rows

# The later life of a document; everything else is its content and never changes once it is issued.
LIVING_COLUMNS = frozenset(
    {
        "status", "paid_at", "voided_at", "amount_paid_minor", "amount_credited_minor", "act_count",
        "stripe_id", "stripe_status", "stripe_problem", "stripe_is_stand_in", "hosted_invoice_url",
    }
)  # fmt: skip
REFUSAL = "an issued invoice never changes"
FIXED_COLUMNS = keep_rows(
    Invoice.__table__,
    Kept(
        message=REFUSAL,
        living=LIVING_COLUMNS,
        is_kept="{row}.status <> 'draft'",
        # How else a status may move is the code's to say (close_invoice.py).
        stays="{row}.status = 'void'",
    ),
)
LINE_COLUMNS = keep_rows(
    InvoiceLine.__table__,
    Kept(
        message=REFUSAL,
        is_kept="(SELECT status FROM invoices WHERE id = {row}.invoice_id) <> 'draft'",
        is_closed=True,
    ),
)
# A charge waits for an invoice, or is waived; what was charged for what, and by which proof, stays.
keep_rows(
    BilledPeriod.__table__,
    Kept(message="what was charged never changes", living=frozenset({"invoice_id", "waived_at"})),
)


def document_of(invoice: Invoice, lines: Sequence[InvoiceLine]) -> dict[str, Any]:
    """Return everything that an issued invoice says, as plain JSON."""
    return {
        "invoice": {name: _plain(getattr(invoice, name)) for name in FIXED_COLUMNS if name != "content_digest"},
        "lines": [
            {name: _plain(getattr(line, name)) for name in LINE_COLUMNS}
            for line in sorted(lines, key=lambda line: line.position)
        ],
    }


def content_digest(invoice: Invoice, lines: Sequence[InvoiceLine]) -> str:
    """Return sha256 over everything that an issued invoice says, as canonical JSON."""
    text = json.dumps(document_of(invoice, lines), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | dict | list):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    # A decimal comes back from the two engines with different trailing zeros; its number is what is signed.
    return format(value.normalize(), "f")
