"""Write everything behind an issued invoice into a folder, for a stranger to check without us (docs/invoices.md)."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.credits.ledger import Posted, read_ledger_of
from tollkeeper.errors import Conflict
from tollkeeper.invoices.immutable import document_of
from tollkeeper.invoices.reading import get_invoice, list_lines
from tollkeeper.invoices.settle import stretches_of
from tollkeeper.invoices.tables import BilledPeriod, InvoiceLine, InvoiceStatus
from tollkeeper.invoices.verify import period_of_row
from tollkeeper.metering.dimensions import content_of
from tollkeeper.metering.read import source_names
from tollkeeper.metering.rows import id_of
from tollkeeper.money import currency_exponent
from tollkeeper.usage.counted_events import CountedEvent, counted_events
from tollkeeper.usage.usage_of import question_of

FORMAT = 1


def export_invoice(session: Session, id_or_number: str, folder: Path) -> Path:
    """Write document, charges and events; return the folder. Raises Conflict for a draft or a folder that is there.

    The events are those of today: for a charge that was corrected since, they prove the correction.
    """
    invoice = get_invoice(session, id_or_number)
    if invoice.status == InvoiceStatus.DRAFT:
        raise Conflict(f"{invoice.id} is a draft; only an issued invoice can be proved")
    if folder.exists():
        raise Conflict(f"{folder} is there already; name another folder with --to")
    lines = list_lines(session, invoice.id)
    rows = session.scalars(
        select(BilledPeriod)
        .where(BilledPeriod.id.in_(select(InvoiceLine.billed_period_id).where(InvoiceLine.invoice_id == invoice.id)))
        .order_by(BilledPeriod.id)
    ).all()
    (folder / "events").mkdir(parents=True)
    write_json(folder / "document.json", document_of(invoice, lines))
    write_json(
        folder / "summary.json",
        {
            "format": FORMAT,
            "number": invoice.number,
            "content_digest": invoice.content_digest,
            "currency": invoice.currency,
            "exponent": currency_exponent(invoice.currency),
        },
    )
    write_json(folder / "credit.json", [describe_posted(posted) for posted in read_ledger_of(session, invoice.id)])
    write_json(folder / "charges.json", [_charge(session, row) for row in rows])
    for row in rows:
        if row.proof["feature"] is not None:
            _write_events(session, row, folder / "events" / f"{row.id}.jsonl")
    return folder


def write_json(path: Path, content: Any) -> None:
    """Write a file that a person can read, too."""
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _charge(session: Session, row: BilledPeriod) -> dict[str, Any]:
    period = period_of_row(session, row)
    feature = row.proof["feature"]
    meter = None
    if feature is not None:
        question = question_of(session, feature)
        meter = {
            "key": question.meter.key,
            "aggregation": question.meter.aggregation,
            "value": question.meter.value,
            "filters": [question.meter.filter, question.filter],
        }
    return {
        "id": row.id,
        "kind": row.kind,
        "revision": row.revision,
        "customer": row.customer_id,
        "stretches": row.proof["stretches"],
        "shares": row.proof["shares"],
        "moved": row.proof["moved"],
        "plan_version_id": row.plan_version_id,
        "rate_card": period.rate_card.model_dump(mode="json") if period is not None else None,
        "period": [row.period_start.isoformat(), row.period_end.isoformat()],
        "full_period": row.proof["full_period"],
        "override": row.proof["override"],
        "holes": row.proof["holes"],
        "fraction": row.proof["fraction"],
        "quantity": format(row.quantity, "f"),
        "event_count": row.event_count,
        "meter": meter,
        "events": row.proof["events"],
        "lines": row.proof["lines"],
        "lines_before": row.proof["lines_before"],
        "shares_before": row.proof["shares_before"],
        "whole_minor": row.proof["whole_minor"],
        "charged_before_minor": row.proof["charged_before_minor"],
        "amount_minor": row.amount_minor,
    }


def describe_posted(posted: Posted) -> dict[str, Any]:
    """Return a transaction of the ledger with its entries."""
    return {
        "transaction": posted.transaction.id,
        "kind": posted.transaction.kind,
        "happened_at": posted.transaction.happened_at.isoformat(),
        "entries": [{"account": entry.account_id, "amount_minor": entry.amount_minor} for entry in posted.entries],
    }


def _write_events(session: Session, row: BilledPeriod, path: Path) -> None:
    sources = source_names(session)
    question = question_of(session, row.proof["feature"])
    with path.open("w", encoding="utf-8") as file:
        for counted in counted_events(session, question, stretches_of(row)):
            file.write(json.dumps(_event(counted, sources), ensure_ascii=False) + "\n")


def _event(counted: CountedEvent, sources: dict[int, str]) -> dict[str, Any]:
    event = counted.event
    return {
        "time_us": event.time_us,
        "source": sources[event.source_id],
        "id": id_of(event.id_key, event.id_text),
        "type": event.facts.event_type,
        "subject": event.facts.subject,
        "content": content_of(event.facts.event_type, event.data).decode(),
        "value": str(counted.value),
        "customer": counted.customer_id,
    }
